"""The launch scripts: two processes on a CPU, and what reaches Slurm."""

import os
import re
import shutil
from pathlib import Path

import cv2
import pytest
import torch
from two_ranks import on_cpus

TOY_CONFIG = 'configs/recall_loss/recall_deeplabv3-r18-d8_1xb8-800_toy-streets-128x256.py'


@pytest.mark.elsewhere
def test_two_processes_train_over_gloo(run_process, toy_options, tmp_path):
    done = run_process(
        'dist_train.sh', TOY_CONFIG, 2, '--work-dir', tmp_path, *toy_options,
        'train_cfg.max_iters=2', env=on_cpus(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    log = done.stdout + done.stderr
    assert log.count('BN takes the place of SyncBN') == 1
    assert len(re.findall(r'Iter\(train\)', log)) == 2  # one log, of rank 0
    assert 'Iter(val) [2/2]' in log  # three images, shared by two processes
    weights = torch.load(tmp_path / 'iter_2.pth', weights_only=False)['state_dict']
    assert all(value.isfinite().all() for value in weights.values())
    assert not any(name.startswith('module.') for name in weights)


@pytest.mark.slow
def test_two_processes_score_like_one(trained, scored, run_process, toy_options, tmp_path):
    done = run_process(
        'dist_test.sh', TOY_CONFIG, trained[0] / 'iter_2.pth', 2, '--work-dir', tmp_path / 'work',
        '--tta', '--out', tmp_path / 'out', *toy_options, env=on_cpus(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    two, one = (
        re.search(r'aAcc: .*?mAcc: \S+', t)[0] for t in (done.stdout + done.stderr, scored[1])
    )
    assert two == one
    saved = [
        {p.relative_to(out): p.read_bytes() for p in out.rglob('*') if p.is_file()}
        for out in (tmp_path / 'out', scored[0] / 'out')
    ]
    assert saved[0] == saved[1] and len(saved[0]) == 3


ENDING = """
import os, signal
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmseg.registry import HOOKS

@HOOKS.register_module()
class EndingHook(Hook):
    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if get_rank() == 1 and runner.iter == 1:
            os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_a_process_that_is_killed_ends_the_job(run_process, toy_options, tmp_path):
    """The first process waits for the second in a sum of gradients: it must not for ever."""
    (tmp_path / 'ending.py').write_text(ENDING)
    config = tmp_path / 'config.py'
    config.write_text(
        f"_base_ = '{Path(__file__).parents[2] / TOY_CONFIG}'\n"
        "custom_imports = dict(imports=['mmseg_imbalance', 'ending'])\n"
        "custom_hooks = [dict(type='EndingHook')]\n"
    )
    done = run_process(
        'dist_train.sh', config, 2, '--work-dir', tmp_path / 'work', *toy_options,
        'train_cfg.max_iters=4', env={**on_cpus(), 'PYTHONPATH': str(tmp_path)}, timeout=100,
    )  # fmt: skip
    log = done.stdout + done.stderr
    assert done.returncode == 1 and 'SIGKILL' in log
    assert len(re.findall(r'Iter\(train\)', log)) == 1
    assert not list((tmp_path / 'work').glob('*.pth'))


@pytest.mark.slow
def test_a_wrong_label_that_one_process_meets_ends_the_job(
    run_process, toy_data, toy_options, tmp_path
):
    """The other waits for its counts, in the loss."""
    data = shutil.copytree(toy_data, tmp_path / 'data')
    wrong = sorted((data / 'gtFine/train').rglob('*.png'))[3]
    label = cv2.imread(str(wrong), cv2.IMREAD_UNCHANGED)
    assert cv2.imwrite(str(wrong), label * 0 + 77)
    options = [option.replace(str(toy_data), str(data)) for option in toy_options]
    done = run_process(
        'dist_train.sh', TOY_CONFIG, 2, '--work-dir', tmp_path / 'work', *options,
        'train_cfg.max_iters=8', 'train_cfg.val_interval=8', 'custom_hooks=[]',
        'model.decode_head.loss_decode.sync=True', env=on_cpus(), timeout=100,
    )  # fmt: skip
    assert done.returncode == 1
    assert 'ValueError: label 77 is neither a class' in done.stdout + done.stderr


@pytest.mark.parametrize(
    ('script', 'args'),
    [('dist_train.sh', ['none.py', 2]), ('dist_test.sh', ['none.py', 'none.pth', 2])],
)
def test_missing_config_is_one_line_and_exit_code_2(script, args, run_process):
    done = run_process(script, *args)
    assert done.returncode == 2
    assert done.stderr == f'{script}: error: config file not found: none.py\n'


@pytest.mark.parametrize(
    'script', ['dist_train.sh', 'dist_test.sh', 'slurm_train.sh', 'slurm_test.sh']
)
def test_missing_arguments_show_the_usage(script, run_process):
    done = run_process(script)
    assert done.returncode == 2
    assert done.stderr.startswith('usage: ')


@pytest.mark.parametrize(
    ('script', 'args', 'tool'),
    [
        ('slurm_train.sh', ['part', 'job', 'my config.py'], 'train.py'),
        ('slurm_test.sh', ['part', 'job', 'my config.py', 'best.pth'], 'test.py'),
    ],
)
def test_slurm_gets_the_command(script, args, tool, run_process, tmp_path):
    srun = tmp_path / 'srun'
    srun.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    srun.chmod(0o755)
    env = {'PATH': f'{tmp_path}:{os.environ["PATH"]}', 'GPUS': '8', 'SRUN_ARGS': '--time 10'}
    done = run_process(script, *args, '--cfg-options', 'a=[1, 2]', env=env)
    words = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert {
        *'--partition=part --job-name=job --ntasks=8 --kill-on-bad-exit=1 --time 10'.split()
    } <= set(words)
    python = words.index('python')
    assert words[python + 2].endswith(f'/tools/{tool}')
    tail = [*args[2:], '--launcher', 'slurm', '--cfg-options', 'a=[1, 2]']
    assert words[python + 3 :] == tail
