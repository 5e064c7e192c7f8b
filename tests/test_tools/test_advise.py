"""The tool that recommends a method, on toy streets and the kept records."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from head_losses import losses_of
from made_runs import train
from mmengine.config import Config
from PIL import Image

from lab.study import advice
from lab.study.advice import read_evidence
from lab.study.commands import head_options

ROOT = Path(__file__).resolve().parents[2]
TOOL = 'analysis_tools/advise.py'
CONFIG = 'configs/cross_entropy/ce_deeplabv3-r18-d8_1xb8-800_toy-streets-128x256.py'
WIDE = {'COLUMNS': '200'}


@pytest.fixture
def options(toy_data):
    return ['--cfg-options', f'train_dataloader.dataset.data_root={toy_data}']


def config_of(output, tmp_path):
    """Loads the lines that the tool prints; they refer to a config in their own folder."""
    (lines,) = re.findall(r'^(_base_ = .+?)^$', output, flags=re.DOTALL | re.MULTILINE)
    (tmp_path / 'child.py').write_text(lines.replace("'./", f"'{ROOT}/configs/cross_entropy/"))
    return Config.fromfile(tmp_path / 'child.py')


def test_classes_methods_and_a_config(run_tool, options, tmp_path):
    done = run_tool(TOOL, CONFIG, *options, env=WIDE)
    assert done.returncode == 0, done.stderr
    assert re.search(r'^ road +3\d\.\d +100\.0 +– +– *$', done.stdout, re.MULTILINE)
    assert re.search(r'^ sign +0\.\d+ +\d+\.\d +– +– +rare by pixels *$', done.stdout, re.MULTILINE)
    (name,) = re.findall(r'^1\. (.+?), if ', done.stdout, re.MULTILINE)
    first = done.stdout.partition('1. ')[2].partition('2. ')[0]
    trials = []
    for results in read_evidence(ROOT / 'lab/plans'):
        method = next((m for m in results.plan.methods.values() if m.name == name), None)
        records = results.trained.get(method and method.key, [])
        gain = results.judged_gain(method, 'mIoU') if records or results.plan.in_turn else None
        title = results.plan.title + ', held-out parts' * results.plan.in_turn
        rows = re.findall(rf'^ {title} .*$', first, re.MULTILINE)
        assert bool(rows) == bool(gain and gain.runs), results.plan.key
        for row in rows:
            shown = f'{gain.mean:+.1f}' + f' ± {gain.std:.1f}' * (gain.runs > 1)
            assert row.removeprefix(f' {title}').split(maxsplit=1)[0] == str(gain.runs)
            assert f' {shown} ' in row
        trials += [record.trial for record in records]
    head = config_of(done.stdout, tmp_path).model.decode_head
    measured = Config.fromfile(ROOT / 'configs' / trials[0].config)
    measured.merge_from_dict(head_options(trials[0].options, measured))
    types = [loss.type for loss in losses_of(measured.model.decode_head)]
    assert [loss.type for loss in losses_of(head)] == types
    name = CONFIG.replace('/ce_', f'/{trials[0].method}_')
    assert f'save these lines as {name}:' in done.stdout
    assert f'python tools/train.py {name} --cfg-options {options[1]}\n' in done.stdout
    baseline = f'python tools/train.py {CONFIG} --work-dir work_dirs/{Path(CONFIG).stem} '
    assert f'  {baseline}--cfg-options {options[1]}\n' in done.stdout
    assert 'Gains are points over' in done.stdout and 'Scores are in' not in done.stdout


def test_scores_of_a_run(run_tool, options, trained):
    done = run_tool(TOOL, CONFIG, '--run', trained[0], *options, env=WIDE)
    assert done.returncode == 0, done.stderr
    # after two iterations nothing rare is found
    row = r'^ sign +\S+ +\S+ +\d+\.\d +\d+\.\d +rare by pixels, missed *$'
    assert re.search(row, done.stdout, re.MULTILINE)
    assert 'given with --run' not in done.stdout and '\n1. ' in done.stdout
    assert f'note: {trained[0]} is no run of cross-entropy, but of RecallLoss' in done.stderr


def test_nothing_rare(run_tool, toy_data, tmp_path):
    """Streets of road and sky alone."""
    uncounted = shutil.ignore_patterns('class_statistics')
    shutil.copytree(toy_data, tmp_path / 'streets', ignore=uncounted)
    for path in tmp_path.glob('streets/gtFine/train/*/*_gtFine_labelTrainIds.png'):
        label = np.asarray(Image.open(path)) % 2 * 2  # sky, or road
        Image.fromarray(label.astype(np.uint8)).save(path)
    at = f'train_dataloader.dataset.data_root={tmp_path}/streets'
    done = run_tool(TOOL, CONFIG, '--cfg-options', at, env=WIDE)
    assert done.returncode == 0, done.stderr
    assert '1. cross-entropy, if' in done.stdout and '2. ' not in done.stdout
    assert re.search(r'no class is rare\..+^ scores ', done.stdout, re.DOTALL | re.MULTILINE)
    own = f'trains number 1 as it is:\n\npython tools/train.py {CONFIG} --cfg-options {at}\n'
    assert own in done.stdout and '_base_' not in done.stdout
    assert 'Scores are in percent' in done.stdout and 'Gains are' not in done.stdout
    text = (ROOT / CONFIG).read_text().replace("'../", f"'{ROOT}/configs/")
    (tmp_path / 'mine.py').write_text(text)
    done = run_tool(TOOL, tmp_path / 'mine.py', '--cfg-options', at, env=WIDE)
    assert f'as it is:\n\npython tools/train.py {tmp_path}/mine.py --cfg' in done.stdout
    text += "model = dict(decode_head=dict(loss_decode=dict(type='FocalLoss', _delete_=True)))\n"
    for name, child in (('mine.py', 'ce_mine.py'), ('ce_mine.py', 'ce_ce_mine.py')):
        (tmp_path / name).write_text(text)
        done = run_tool(TOOL, tmp_path / name, '--cfg-options', at, env=WIDE)
        assert f'save these lines as {tmp_path}/{child}:' in done.stdout
        assert f"_base_ = './{name}'" in done.stdout


def test_a_head_that_takes_losses_by_position(call_tool, capsys, options):
    assert call_tool(TOOL, CONFIG, *options, 'model.decode_head.type=DDRHead') == 0
    output = capsys.readouterr().out
    why = f'No lines can train number 1: in {CONFIG}, model.decode_head is a DDRHead, which takes 2'
    assert why in output and 'save these lines' not in output


def test_a_config_in_pure_python(call_tool, capsys, toy_data, tmp_path):
    """Lines with `_base_` can inherit from the copy that a training writes, not from itself."""
    cfg = Config.fromfile(ROOT / CONFIG).to_dict()
    cfg['train_dataloader']['dataset'].update(data_root=str(toy_data), type='DATASET')
    text = 'from mmseg_imbalance.datasets import ToyStreetsDataset\n'
    text += ''.join(f'{key} = {value!r}\n' for key, value in cfg.items())
    path = tmp_path / 'pure.py'
    path.write_text(text.replace("'DATASET'", 'ToyStreetsDataset'))
    assert call_tool(TOOL, path) == 0
    output = capsys.readouterr().out
    assert f'No `_base_` can name {path}' in output and 'save these lines' not in output
    Config.fromfile(path).dump(path)
    assert call_tool(TOOL, path) == 0
    (lines,) = re.findall(r'^(_base_ = .+?)^$', capsys.readouterr().out, re.DOTALL | re.MULTILINE)
    (tmp_path / 'child.py').write_text(lines)
    assert Config.fromfile(tmp_path / 'child.py').model.decode_head.loss_decode


def test_classes_in_few_images(call_tool, capsys, monkeypatch, options):
    """Nothing is recorded of such data: what is rare by pixels gets the methods for that."""
    monkeypatch.setattr(advice, 'FEW_IMAGES', 1.1)
    monkeypatch.setattr(advice, '_has_classes_in_few_images', lambda study: False)
    monkeypatch.setenv('COLUMNS', '400')
    assert call_tool(TOOL, CONFIG, *options) == 0
    text = capsys.readouterr().out
    where = 'data with classes in few images; see configs/class_balanced_sampling/README.md.'
    assert text.count(f'There are no records of several runs on {where}') == 1
    assert '\n1. ' in text and ': rare by pixels.' in text


def test_runs_that_cannot_be_read(call_tool, capsys, options, tmp_path):
    other = train(tmp_path, 'tiny')
    for path, message in (
        (tmp_path / 'none', f'{tmp_path}/none: there is no such folder'),
        (other, f'{other} has the classes common, middle, rare, absent, the training set sky, '),
    ):
        assert call_tool(TOOL, CONFIG, '--run', path, *options) == 2
        (line,) = [s for s in capsys.readouterr().err.splitlines() if 'error: ' in s]
        assert message in line


def test_what_cannot_be_is_one_line(call_tool, capsys, tmp_path, options):
    missing = ['--cfg-options', f'train_dataloader.dataset.data_root={tmp_path}']
    for args, message in (
        (['none.py'], 'config file not found: none.py'),
        ([CONFIG, *missing], f'data not found: {tmp_path}/leftImg8bit/train'),
        ([CONFIG, *options, 'train_dataloader.dataset.kind=1'], f'{CONFIG}: '),
    ):
        assert call_tool(TOOL, *args) == 2
        (line,) = [s for s in capsys.readouterr().err.splitlines() if 'error: ' in s]
        assert message in line
