"""The tool that compares runs, on real trainings: finished, killed, resumed and damaged ones."""

import json
import os
import re
import shutil
import time

import cv2
import numpy as np
import pytest
from made_runs import confusion_scores, train
from run_tools import ROOT, ForkedTool

TOOL = 'analysis_tools/compare_runs.py'
TOY_CONFIG = 'configs/recall_loss/recall_deeplabv3-r18-d8_1xb8-800_toy-streets-128x256.py'
RECALL = dict(loss=dict(type='RecallLoss'), config='recall_tiny')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Two methods with two seeds each, and a stopped run."""
    folder = tmp_path_factory.mktemp('runs')
    for seed in (0, 1):
        train(folder, f'ce-{seed}', seed=seed)
        train(folder, f'recall-{seed}', seed=seed, **RECALL)
    train(folder, 'stopped', stop=3)
    return folder


@pytest.fixture
def compare(call_tool, capsys, tmp_path):
    """Runs the tool in this process; returns exit code, output, errors and the written JSON."""

    def run(*args):
        code = call_tool(TOOL, *args, '--out-dir', tmp_path / 'out')
        out, err = capsys.readouterr()
        file = tmp_path / 'out/comparison.json'
        return code, out, err, json.loads(file.read_text()) if file.exists() else None

    return run


def test_seeds_of_two_methods(run_tool, folder, tmp_path):
    out = tmp_path / 'a b'
    runs = [folder / f'{name}-{seed}' for name in ('recall', 'ce') for seed in (0, 1)]
    done = run_tool(TOOL, *runs, '--out-dir', out, env={'COLUMNS': ''})  # as in a pipe
    assert done.returncode == 0, done.stderr
    assert 'left out' not in done.stderr and 'warning' not in done.stderr
    # means and spreads from the confusion matrices
    means = []
    for seed in (0, 1):
        (file,) = (folder / f'ce-{seed}').glob('*/iter_4/class_scores.json')
        iou, recall = confusion_scores(file)
        means.append([np.nanmean(list(values.values())) for values in (iou, recall)])
    mean, std = np.mean(means, 0), np.std(means, 0, ddof=1)
    shown = re.search(r'^ *ce +2 +(\S+) ± (\S+) +(\S+) ± (\S+)', done.stdout, re.MULTILINE)
    expected = [mean[0], std[0], mean[1], std[1]]
    assert [float(text) for text in shown.groups()] == pytest.approx(expected, abs=0.011)
    assert re.search(r'^ *recall +2 +', done.stdout, re.MULTILINE)

    names = {'comparison.md', 'comparison.tex', 'comparison.json', 'classes.png', 'curves.png'}
    assert {path.name for path in out.iterdir()} == names
    assert all(str(out / name) in done.stdout.replace('\n', '') for name in names)
    for name in ('classes.png', 'curves.png'):
        assert cv2.imread(str(out / name)).shape[1] > 900
    content = json.loads((out / 'comparison.json').read_text())
    assert content['baseline'] == 'ce' and content['share_of'] == 'evaluated pixels'
    order = [row['class'] for row in content['classes']]
    assert order == ['absent', 'rare', 'middle', 'common']
    assert [m['name'] for m in content['methods']] == ['recall', 'ce']
    assert [run['seed'] for run in content['methods'][0]['runs']] == [0, 1]


def test_unfinished_runs_are_left_out_and_named(compare, folder, tmp_path):
    (tmp_path / 'empty').mkdir()
    damaged = shutil.copytree(folder / 'ce-1', tmp_path / 'damaged')
    (damaged / 'run.json').write_text('{')
    bad = {
        folder / 'stopped': 'not finished: recorded up to iteration 2 of 4; finish and score it ',
        tmp_path / 'empty': 'it has no run.json',
        tmp_path / 'none': 'there is no such folder',
        damaged: f'{damaged}/run.json is damaged',
    }
    code, out, err, content = compare(folder / 'ce-0', *bad, folder / 'recall-0')
    assert code == 1
    assert [m['name'] for m in content['methods']] == ['ce', 'recall']
    report = (tmp_path / 'out/comparison.md').read_text()
    for (path, reason), (named, why) in zip(bad.items(), content['left_out'], strict=True):
        assert named == str(path) and why.startswith(reason)
        assert f'left out: {path}: {why}\n' in err
        assert why[:30] in report.replace('\\', '')


def test_a_killed_and_resumed_run(compare, run_tool, toy_options, tmp_path):
    """The command that the tool prints makes the run a whole one."""
    work_dir = tmp_path / 'run'
    options = ['--work-dir', work_dir, *toy_options, 'train_cfg.max_iters=6']
    with open(os.devnull, 'w') as nothing:
        command = ['python', ROOT / 'tools/train.py', TOY_CONFIG, *options]
        process = ForkedTool(command, nothing, nothing)
    deadline = time.time() + 100
    last = work_dir / 'last_checkpoint'
    while not (last.exists() and last.read_text()) and time.time() < deadline:
        time.sleep(0.02)
    process.kill()
    process.wait()
    code, _, err, content = compare(work_dir)
    assert code == 2 and content is None and 'no run is left to compare' in err
    advice = re.search(r'up to iteration \d of 6; finish and score it with tools/(\S+) (.*)', err)
    args = advice[2].split()
    assert args[1:] == ['--work-dir', str(work_dir), '--resume']
    done = run_tool(advice[1], *args)
    assert done.returncode == 0, done.stderr
    code, _, _, content = compare(work_dir)
    assert code == 0 and [m['name'] for m in content['methods']] == ['recall']
    assert not (tmp_path / 'out/classes.png').exists()  # there is one method


def test_given_names_and_baseline(compare, folder):
    a, b, c = (folder / name for name in ('ce-0', 'ce-1', 'recall-0'))
    code, _, err, content = compare(f'A={a}', f'B={b}', f'A={c}', '--baseline', 'B')
    assert code == 0 and content['baseline'] == 'B'
    assert [(m['name'], len(m['runs'])) for m in content['methods']] == [('A', 2), ('B', 1)]
    assert f'warning: {a} and {c} are both A, but differ in ' in err
    assert 'model.decode_head.loss_decode.type' in err


def test_equal_seeds_are_warned_about(compare, folder, tmp_path):
    copy = shutil.copytree(folder / 'ce-0', tmp_path / 'lr=0.1')
    code, _, err, content = compare(folder / 'ce-0', copy, folder / 'ce-1')
    assert code == 0 and f'{copy} have the seed 0 and equal settings' in err
    assert content['warnings'][0] in err and len(content['methods'][0]['runs']) == 3


def test_wrong_usage_is_one_line_and_writes_nothing(compare, folder, tmp_path):
    ce = folder / 'ce-0'
    other = shutil.copytree(folder / 'recall-0', tmp_path / 'other')
    file = other / 'run.json'
    file.write_text(file.read_text().replace('rare', 'bus'))
    for args, message in (
        ([ce, '--baseline', 'lmp'], "there is no method 'lmp' to compare with: ce"),
        ([ce, f'x={ce}/'], f'one run is given twice: {ce} and {ce}/'),
        ([ce, other], f'{ce} (4 classes, among them rare) and {other} (4 classes, among them bus)'),
        ([folder / 'stopped', tmp_path / 'none'], 'no run is left to compare'),
        ([f'={ce}'], f"'={ce}' is not NAME=WORK_DIR"),
        (['CE='], "'CE=' is not NAME=WORK_DIR"),
        ([], 'the following arguments are required'),
    ):
        code, out, err, content = compare(*args)
        assert code == 2 and content is None
        assert message in err.splitlines()[-1]
