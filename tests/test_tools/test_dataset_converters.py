"""The converters as users run them: exit codes, messages, interrupts."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from synthia_files import write_frame, write_raw_label

from lab.streets.make_toy_streets import make_toy_streets

ROOT = Path(__file__).resolve().parents[2]
VIEW = 'SYNTHIA-SEQS-05-SUMMER/{}/Stereo_Left/Omni_F/{:06d}.png'


def convert(run_tool, name, *args):
    return run_tool(f'dataset_converters/{name}.py', *args)


def test_seqs_finishes_the_good_files_and_names_the_bad(tmp_path, run_tool):
    source, out = tmp_path / 'SYNTHIA-SEQS-05-SUMMER', tmp_path / 'out'
    for i in range(10):
        write_frame(source, f'Stereo_Left/Omni_F/{i:06d}', np.full((6, 8), 1 + i), instances=i)
    labels = [tmp_path / VIEW.format('GT/LABELS', i) for i in range(10)]
    labels[1].write_bytes(labels[1].read_bytes()[:-6])
    write_raw_label(labels[2], np.full((6, 7), 1))
    cv2.imwrite(str(labels[3]), np.ones((6, 8, 3), np.uint8))
    write_raw_label(labels[4], np.full((6, 8), 13))
    labels[5].write_bytes(b'no picture')

    done = convert(run_tool, 'synthia_seqs', source, out, '--nproc', 2, '--images', 'link')
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    assert '5 written, 0 already there, 5 failed' in done.stdout
    for i, reason in enumerate(
        ('not a complete', '7x6 pixels, but its image has 8x6', '8-bit', 'id 13', 'not a complete'),
        start=1,
    ):
        (line,) = [x for x in done.stderr.splitlines() if f'Omni_F/{i:06d}:' in x]
        assert reason in line
    assert len(list(out.rglob('labels/**/*.png'))) == 5
    assert os.path.samefile(tmp_path / VIEW.format('RGB', 0), out / 'images' / VIEW.format('', 0))
    listed = [n for p in out.glob('splits/block/*.txt') for n in p.read_text().splitlines()]
    assert sorted(n[-1] for n in listed) == list('06789')

    for i in range(1, 6):
        write_raw_label(labels[i], np.full((6, 8), 15))
    done = convert(run_tool, 'synthia_seqs', source, out, '--nproc', 2, '--images', 'link')
    assert done.returncode == 0, done.stderr
    assert '5 written, 5 already there, 0 failed' in done.stdout
    assert 'traffic light     50.00%' in done.stdout and 'block/train.txt: 7 images' in done.stdout


def test_rand_converts_and_splits(tmp_path, run_tool):
    for i in range(5):
        write_frame(tmp_path / 'RAND_CITYSCAPES', f'{i:07d}', [[3, 3, 3, 21]], instances=5)
    out = tmp_path / 'out'
    done = convert(run_tool, 'synthia_rand', tmp_path, out, '--val-ratio', 0.4, '--nproc', 1)
    assert done.returncode == 0, done.stderr
    assert 'road              75.00%' in done.stdout and 'wall              25.00%' in done.stdout
    assert cv2.imread(f'{out}/labels/0000003.png', -1).tolist() == [[0, 0, 0, 3]]
    assert len((out / 'splits/val.txt').read_text().split()) == 2
    assert set(os.listdir(out)) == {'images', 'labels', 'splits'}


def test_camvid_converts(tmp_path, run_tool):
    for folder, pixels in (('val', np.zeros((1, 4, 3))), ('valannot', [[3, 3, 10, 11]])):
        (tmp_path / 'raw' / folder).mkdir(parents=True)
        assert cv2.imwrite(f'{tmp_path}/raw/{folder}/a.png', np.asarray(pixels, np.uint8))
    done = convert(run_tool, 'camvid', tmp_path / 'raw', tmp_path / 'out')
    assert done.returncode == 0, done.stderr
    assert 'Road              50.00%' in done.stdout
    assert '(ignored)         25.00%' in done.stdout


@pytest.mark.parametrize(
    'name, args, message',
    [
        ('synthia_rand', ['{tmp}/nowhere', '{tmp}/out'], 'nowhere does not exist'),
        ('synthia_seqs', ['{tmp}', '{tmp}/out'], 'is not a SYNTHIA-SEQS folder'),
        ('toy_streets', ['{tmp}/out', '--size', '64'], 'WIDTHxHEIGHT'),
        ('synthia_rand', ['{tmp}', '{tmp}/out', '--val-ratio', '1'], 'between 0 and 1'),
    ],
)
def test_wrong_usage_exits_with_2_and_one_line(tmp_path, run_tool, name, args, message):
    done = convert(run_tool, name, *(arg.format(tmp=tmp_path) for arg in args))
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1] and 'Traceback' not in done.stderr
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize('how', ['interrupt', 'kill'])
def test_stopped_at_any_moment_it_goes_on(tmp_path, run_tool, how):
    options = ['--train', '40', '--val', '0', '--size', '128x64', '--nproc', '2']
    tool = ROOT / 'tools/dataset_converters/toy_streets.py'
    process = subprocess.Popen(
        [sys.executable, tool, tmp_path / 'toy', *options],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        cwd=ROOT,
    )
    deadline = time.monotonic() + 60
    while len(list(tmp_path.rglob('*labelTrainIds.png'))) < 2:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.005)
    # as a terminal's Ctrl-C does, to all processes; kill is what running out of memory does
    os.killpg(process.pid, signal.SIGINT if how == 'interrupt' else signal.SIGKILL)
    _, errors = process.communicate(timeout=30)
    if how != 'kill':
        assert process.returncode == 130 and 'Traceback' not in errors
        assert 'run the same command again' in errors
        assert not list(tmp_path.rglob('*.tmp'))
    for path in tmp_path.rglob('*.png'):
        with Image.open(path) as image:
            image.load()
    labels = list(tmp_path.rglob('*labelTrainIds.png'))
    assert 2 <= len(labels) < 40

    outcomes = make_toy_streets(tmp_path / 'toy', dict(train=40, val=0), 0, (128, 64), nproc=1)
    statuses = [outcome.status for outcome in outcomes]
    assert statuses.count('kept') == len(labels) and statuses.count('written') > 0
