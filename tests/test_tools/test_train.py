"""tools/train.py as users run it."""

import re
import shutil

import pytest
import torch
from tiny_run import tiny_config

TOY_CONFIG = 'configs/recall_loss/recall_deeplabv3-r18-d8_1xb8-800_toy-streets-128x256.py'


def losses(log):
    return {int(i): float(x) for i, x in re.findall(r'Iter\(train\) \[ *(\d+)/.* loss: (\S+)', log)}


@pytest.mark.elsewhere
def test_trains_validates_and_saves(trained):
    work_dir, log = trained
    assert sorted(losses(log)) == [1, 2]
    assert 'decode.loss_recall' in log and 'mIoU' in log
    assert (work_dir / 'iter_2.pth').is_file()


@pytest.mark.elsewhere
def test_resume_goes_on(trained, run_tool, toy_options, tmp_path):
    work_dir = shutil.copytree(trained[0], tmp_path / 'work')
    done = run_tool(
        'train.py', TOY_CONFIG, '--work-dir', work_dir, '--resume',
        *toy_options, 'train_cfg.max_iters=3', 'train_cfg.val_interval=3',
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert sorted(losses(done.stdout + done.stderr)) == [3]


@pytest.mark.elsewhere
def test_amp_trains_in_bfloat16_on_a_cpu(tmp_path, trained, run_tool, toy_options):
    done = run_tool(
        'train.py', TOY_CONFIG, '--work-dir', tmp_path, '--amp', *toy_options,
        'train_cfg.max_iters=2', env={'CUDA_VISIBLE_DEVICES': ''},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    log = done.stdout + done.stderr
    assert "type='BFloat16OptimWrapper'" in log
    full = losses(trained[1])
    for i, loss in losses(log).items():
        assert loss == pytest.approx(full[i], rel=0.01)
    weights = torch.load(tmp_path / 'iter_2.pth', weights_only=False)['state_dict']
    assert {w.dtype for w in weights.values()} <= {torch.float32, torch.int64, torch.float64}
    # the same start and the same data: only the precision differs
    others = torch.load(trained[0] / 'iter_2.pth', weights_only=False)['state_dict']
    assert any(not torch.equal(weight, others[name]) for name, weight in weights.items())


# ---- files of a run


@pytest.fixture
def tiny(tmp_path):
    """A folder with the config of a training of a second."""
    cfg = tiny_config(tmp_path)
    cfg.custom_imports = dict(imports=['mmseg_imbalance', 'tiny_data'])
    cfg.dump(tmp_path / 'config.py')
    return tmp_path


@pytest.fixture
def refusal(call_tool, capsys):
    """The line that a training ends with, whose config gets other entries."""

    def of(folder, *options):
        capsys.readouterr()
        more = ['--cfg-options', *options] if options else []
        assert call_tool('train.py', folder / 'config.py', *more) == 2
        error = capsys.readouterr().err
        assert 'Traceback' not in error
        return error.splitlines()[-1]

    return of


def test_missing_data_are_named(tiny, refusal):
    line = refusal(tiny, 'train_dataloader.dataset.data_root=/none')
    assert line.startswith('train.py: error: data not found: /none')


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('nan.json', b'[1, NaN, 1, 1]', ': that of class 1 is nan, not finite'),
        ('short.json', b'[1, 1]', ' has 2 entries for 4 classes'),
    ],
)
def test_bad_class_weights_are_one_line(tiny, refusal, name, content, message):
    path = tiny / name
    path.write_bytes(content)
    loss = 'model.decode_head.loss_decode'
    line = refusal(tiny, f'{loss}.type=WeightedCrossEntropyLoss', f'{loss}.class_weight={path}')
    assert f'class_weight file {path}{message}' in line


def test_damaged_statistics_are_one_line(tiny, refusal):
    path = tiny / 'counts.npz'
    path.write_bytes(b'PK no archive')
    message = f'train.py: error: {path}: cannot read the class statistics ('
    assert refusal(tiny, f'train_dataloader.sampler.statistics={path}').startswith(message)
    with open(tiny / 'config.py', 'a') as config:
        config.write(
            "model['decode_head']['loss_decode'] = dict(\n"
            "    type='WeightedCrossEntropyLoss', class_weight='enet')\n"
            "train_dataloader['sampler'] = dict(type='InfiniteSampler')\n"
            f"custom_hooks = [dict(type='ClassStatisticsHook', statistics={str(path)!r})]\n"
        )
    assert refusal(tiny).startswith(message)
