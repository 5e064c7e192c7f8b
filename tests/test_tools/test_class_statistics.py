"""The tool on toy streets: what it prints and writes, and how it fails."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from mmseg_imbalance.datasets import store
from mmseg_imbalance.datasets.toy_streets import ToyStreetsDataset
from mmseg_imbalance.statistics.class_statistics import ClassStatistics
from mmseg_imbalance.statistics.class_values import load_class_weight

ROOT = Path(__file__).resolve().parents[2]
TOOL = 'analysis_tools/class_statistics.py'
CONFIG = 'configs/cross_entropy/ce_deeplabv3-r18-d8_1xb8-800_toy-streets-128x256.py'
ROOT_OF_TRAIN = 'train_dataloader.dataset.data_root'
KEY = 'gtFine/train/toyville/toyville_000000_gtFine_labelTrainIds.png'
CLASSES = ToyStreetsDataset.METAINFO['classes']


@pytest.fixture(autouse=True)
def clean_process(monkeypatch):
    """What the tool, called in this process, would leave in it: a signal handler and a logger."""
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(store, 'print_log', lambda *_: None)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def data(toy_data, tmp_path):
    """A copy of the toy streets' training data that a test may change."""
    root = tmp_path / 'däta'
    for kind in ('leftImg8bit', 'gtFine'):
        for path in toy_data.glob(f'{kind}/train/*/*.png'):
            copy = root / path.relative_to(toy_data)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    return root


def labels_of(root):
    return sorted(root.glob('gtFine/train/*/*.png'))


def count(root):
    labels = [np.asarray(Image.open(path)) for path in labels_of(root)]
    return np.array([[(label == c).sum() for c in range(len(CLASSES))] for label in labels])


def test_everything(run_tool, data, tmp_path):
    out = tmp_path / 'out'
    arguments = ('--nproc', 2, '--cfg-options', f'{ROOT_OF_TRAIN}={data}')
    done = run_tool(
        TOOL, CONFIG, '--rcs-dir', out, '--class-weight', f'median_frequency={out}/median.json',
        f'enet={out}/enet.npy', *arguments,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (path,) = data.glob('class_statistics/*.npz')
    statistics = ClassStatistics.load(path)
    np.testing.assert_array_equal(statistics.pixels, count(data))
    assert statistics.keys == tuple(str(p.relative_to(data)) for p in labels_of(data))
    assert statistics.classes == CLASSES

    table = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line.strip()}
    assert float(table['road'][0]) == pytest.approx(
        100 * statistics.pixel_share[CLASSES.index('road')], abs=0.05
    )
    assert float(table['road'][1]) == 100
    assert '8 label maps' in done.stdout and '100%' in done.stderr
    assert 'Traceback' not in done.stderr

    with Image.open(path.with_suffix('.png')) as figure:
        figure.load()
    assert len(load_class_weight(f'{out}/median.json')) == len(CLASSES)
    share = statistics.pixel_share
    expected = np.where(share > 0, 1 / np.log(1.02 + share), 0)
    np.testing.assert_allclose(load_class_weight(f'{out}/enet.npy'), expected)
    per_file = json.loads((out / 'sample_class_stats.json').read_text())
    assert [entry['file'] for entry in per_file] == list(statistics.keys)
    for written in (path, path.with_suffix('.png'), *out.iterdir()):
        assert str(written) in done.stdout


@pytest.fixture
def call(call_tool, capsys):
    """Calls the tool in this process; returns its exit code, stdout and stderr."""

    def run(data, *args):
        options = ('--nproc', 1, '--cfg-options', f'{ROOT_OF_TRAIN}={data}')
        code = call_tool(TOOL, CONFIG, *args, *options)
        return code, *capsys.readouterr()

    return run


def test_an_up_to_date_file_is_loaded_unless_forced(call, data, tmp_path):
    out, figure = tmp_path / 'a.npz', tmp_path / 'b.png'
    code, stdout, stderr = call(data, '--out', out, '--figure', figure)
    assert code == 0 and 'counting' in stderr and 'loaded' not in stdout
    assert sorted(os.listdir(tmp_path)) == ['a.npz', 'b.png', 'däta']
    before = out.read_bytes()
    code, stdout, stderr = call(data, '--out', out)
    assert code == 0 and f'up to date, loaded: {out}' in stdout and 'counting' not in stderr
    assert out.read_bytes() == before
    label = labels_of(data)[0]
    Image.fromarray(np.zeros((128, 256), np.uint8)).save(label)
    changed = f'a.npz: 1 of 8 label maps have changed since they were counted: {KEY}'
    fails(call(data, '--out', out), changed, '--force')
    assert out.read_bytes() == before
    assert call(data, '--out', out, '--force')[0] == 0
    np.testing.assert_array_equal(ClassStatistics.load(out).pixels, count(data))


def test_the_file_that_the_config_names_is_counted(call_tool, data, tmp_path):
    named = tmp_path / 'named.npz'
    hooks = [hook['type'] for hook in Config.fromfile(ROOT / CONFIG).custom_hooks]
    option = f'custom_hooks.{hooks.index("ClassStatisticsHook")}.statistics={named}'
    assert call_tool(TOOL, CONFIG, '--cfg-options', f'{ROOT_OF_TRAIN}={data}', option) == 0
    np.testing.assert_array_equal(ClassStatistics.load(named).pixels, count(data))
    assert not (data / 'class_statistics').exists()


def test_absent_classes_are_named(call, data):
    for path in labels_of(data):
        label = np.asarray(Image.open(path)).copy()
        label[label == CLASSES.index('bicycle')] = 255
        Image.fromarray(label).save(path)
    code, _, stderr = call(data)
    assert code == 0 and 'warning: no pixel of ' in stderr and 'bicycle' in stderr


def test_a_sampler_that_changes_the_shares_is_named(call_tool, capsys, data):
    config = CONFIG.replace('cross_entropy/ce_', 'class_balanced_sampling/ce-cbs_')
    for name in (CONFIG, config):
        assert call_tool(TOOL, name, '--cfg-options', f'{ROOT_OF_TRAIN}={data}') == 0
        noted = 'the sampler of the config changes them' in capsys.readouterr().err
        assert noted == (name == config)


def fails(result, *parts):
    code, _, stderr = result
    assert code == 2
    (line,) = [line for line in stderr.splitlines() if 'error:' in line]
    for part in parts:
        assert part in line
    assert 'Traceback' not in stderr


def test_bad_data(call, data, tmp_path):
    out = tmp_path / 'a.npz'
    fails(call(tmp_path / 'none'), 'data not found: ', 'none/leftImg8bit/train')
    assert call(data, '--out', out)[0] == 0
    whole = labels_of(data)[3].read_bytes()
    labels_of(data)[3].write_bytes(whole[: len(whole) // 2])
    fails(call(data, '--out', out, '--force'), '1 of 8 label maps', '000003', 'not a complete')
    labels_of(data)[3].with_name('x_leftImg8bit.png').touch()
    next(data.glob('leftImg8bit/train/*/*7_*.png')).unlink()
    fails(call(data, '--out', out), 'a.npz: counted from 8', 'has 7', '--force')
    out.write_text('damaged')
    fails(call(data, '--out', out), 'a.npz: cannot read the class statistics')
    for path in data.glob('leftImg8bit/train/*/*.png'):
        path.unlink()
    fails(call(data), 'cannot build train_dataloader.dataset', 'are there files in its folders')


def test_unwritable(call, data, tmp_path):
    (tmp_path / 'file').touch()
    fails(call(data, '--out', tmp_path / 'file/a.npz'), 'file/a.npz cannot be written', '--out')
    fails(call(data, '--rcs-dir', tmp_path / 'file/rcs'), 'file/rcs')


def test_data_without_annotations(call_tool, capsys, data):
    options = ('train_dataloader.dataset.pipeline=[]', f'{ROOT_OF_TRAIN}={data}')
    code = call_tool(TOOL, CONFIG, '--cfg-options', *options)
    fails((code, *capsys.readouterr()), 'ToyStreetsDataset loads no annotations')


@pytest.mark.parametrize(
    'args, message',
    [
        (['configs/none.py'], 'config file not found: configs/none.py'),
        ([CONFIG, '--class-weight', 'enet=w.pkl'], 'class weights are kept in .npy, '),
        ([CONFIG, '--class-weight', 'nothing=w.json'], 'METHOD=FILE with one of the methods auto'),
        ([CONFIG, '--class-weight', 'enet'], "'enet' is not METHOD=FILE"),
        ([CONFIG, '--out', 'a.png'], "'a.png' does not end in .npz"),
        ([CONFIG, '--beta', '1'], "'1' is not a number between 0 and 1"),
        ([CONFIG, '--nproc', '0'], 'not a whole number >= 1'),
    ],
)
def test_bad_usage(args, message, call_tool, capsys):
    assert call_tool(TOOL, *args) == 2
    assert message in capsys.readouterr().err.replace('\n', ' ')


def test_killed_while_counting_leaves_nothing(data):
    fifo = labels_of(data)[5]
    fifo.unlink()
    os.mkfifo(fifo)  # a label map that takes for ever to read
    options = ['--cfg-options', f'{ROOT_OF_TRAIN}={data}']
    process = subprocess.Popen(
        [sys.executable, str(ROOT / 'tools' / TOOL), CONFIG, '--nproc', '2', *options],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    writer = None
    for _ in range(3000):
        try:
            writer = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
            break
        except OSError:  # nobody reads it yet
            if process.poll() is not None:
                break
            time.sleep(0.1)
    process.kill()
    output, _ = process.communicate(timeout=20)  # not before its workers have ended
    assert writer is not None, output
    os.close(writer)
    assert process.returncode == -signal.SIGKILL
    assert os.listdir(data / 'class_statistics') == []
