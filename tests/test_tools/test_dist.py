"""The launch scripts: two processes on a CPU, and what reaches Slurm."""

import os
import re
import socket

import pytest
import torch

TOY_CONFIG = 'configs/recall_loss/recall_deeplabv3-r18-d8_1xb8-800_toy-streets-128x256.py'


@pytest.fixture
def on_two_cpus():
    """The environment of a launch on a free port, without accelerators."""
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        port = server.getsockname()[1]
    return {'PORT': str(port), 'CUDA_VISIBLE_DEVICES': ''}


def test_two_processes_train_over_gloo(run_tool, toy_options, tmp_path, on_two_cpus):
    done = run_tool(
        'dist_train.sh', TOY_CONFIG, 2, '--work-dir', tmp_path, *toy_options,
        'train_cfg.max_iters=2', env=on_two_cpus,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    log = done.stdout + done.stderr
    assert log.count('BN takes the place of SyncBN') == 1
    assert len(re.findall(r'Iter\(train\)', log)) == 2  # one log, of rank 0
    assert 'Iter(val) [2/2]' in log  # three images, shared by two processes
    weights = torch.load(tmp_path / 'iter_2.pth', weights_only=False)['state_dict']
    assert all(value.isfinite().all() for value in weights.values())
    assert not any(name.startswith('module.') for name in weights)


def test_two_processes_score_like_one(
    trained, scored, run_tool, toy_options, tmp_path, on_two_cpus
):
    done = run_tool(
        'dist_test.sh', TOY_CONFIG, trained[0] / 'iter_2.pth', 2, '--work-dir', tmp_path / 'work',
        '--tta', '--out', tmp_path / 'out', *toy_options, env=on_two_cpus,
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


@pytest.mark.parametrize(
    ('script', 'args'),
    [('dist_train.sh', ['none.py', 2]), ('dist_test.sh', ['none.py', 'none.pth', 2])],
)
def test_missing_config_is_one_line_and_exit_code_2(script, args, run_tool):
    done = run_tool(script, *args)
    assert done.returncode == 2
    assert done.stderr == f'{script}: error: config file not found: none.py\n'


@pytest.mark.parametrize(
    'script', ['dist_train.sh', 'dist_test.sh', 'slurm_train.sh', 'slurm_test.sh']
)
def test_missing_arguments_show_the_usage(script, run_tool):
    done = run_tool(script)
    assert done.returncode == 2
    assert done.stderr.startswith('usage: ')


@pytest.mark.parametrize(
    ('script', 'args', 'tool'),
    [
        ('slurm_train.sh', ['part', 'job', 'my config.py'], 'train.py'),
        ('slurm_test.sh', ['part', 'job', 'my config.py', 'best.pth'], 'test.py'),
    ],
)
def test_slurm_gets_the_command(script, args, tool, run_tool, tmp_path):
    srun = tmp_path / 'srun'
    srun.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    srun.chmod(0o755)
    env = {'PATH': f'{tmp_path}:{os.environ["PATH"]}', 'GPUS': '8', 'SRUN_ARGS': '--time 10'}
    done = run_tool(script, *args, '--cfg-options', 'a=[1, 2]', env=env)
    words = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert {'--partition=part', '--job-name=job', '--ntasks=8', '--time', '10'} <= set(words)
    python = words.index('python')
    assert words[python + 2].endswith(f'/tools/{tool}')
    tail = [*args[2:], '--launcher', 'slurm', '--cfg-options', 'a=[1, 2]']
    assert words[python + 3 :] == tail
