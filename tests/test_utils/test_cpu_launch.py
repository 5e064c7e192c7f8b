"""What changes in a config that is launched without an accelerator (two processes: test_dist)."""

import gc
from datetime import timedelta

import pytest
import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.model import MMDistributedDataParallel
from tiny_run import run, tiny_config

from mmseg_imbalance.utils import cpu_launch
from mmseg_imbalance.utils.cpu_launch import prepare_cpu_launch
from mmseg_imbalance.utils.run_config import RunConfigError

pytestmark = pytest.mark.elsewhere


@pytest.fixture
def cfg():
    norm = dict(type='SyncBN', requires_grad=True)
    pure = [torch.nn.SyncBatchNorm, 'torch.nn.SyncBatchNorm']  # in pure Python, and as it is dumped
    heads = [dict(norm_cfg=dict(type=kind)) for kind in ['MMSyncBN', 'GN', *pure]]
    wrapper = dict(type='MMDistributedDataParallel', find_unused_parameters=True)
    return Config(
        dict(
            launcher='pytorch',
            model=dict(norm_cfg=norm, heads=heads),
            model_wrapper_cfg=wrapper,
            find_unused_parameters=True,
            sync_bn='torch',
            env_cfg=dict(dist_cfg=dict(backend='nccl', timeout=7200)),
        )
    )


@pytest.fixture
def device(monkeypatch):
    return lambda name: monkeypatch.setattr(cpu_launch, 'get_device', lambda: name)


@pytest.mark.parametrize(('launcher', 'name'), [('none', 'cpu'), ('pytorch', 'cuda')])
def test_other_runs_are_left_alone(cfg, device, launcher, name):
    device(name)
    cfg.launcher = launcher
    before = cfg.to_dict()
    prepare_cpu_launch(cfg)
    assert cfg.to_dict() == before


def test_cpu_launch(cfg, device, monkeypatch):
    device('cpu')
    started, ended = [], []
    monkeypatch.setattr(
        'torch.distributed.init_process_group',
        lambda name, timeout: started.append((name, timeout)),
    )
    monkeypatch.setattr('atexit.register', ended.append)
    monkeypatch.setattr('torch.distributed.get_rank', lambda: 0)
    prepare_cpu_launch(cfg)
    assert started == [('gloo', timedelta(hours=2))]
    assert ended == [torch.distributed.destroy_process_group]
    assert cfg.model.norm_cfg == dict(type='BN', requires_grad=True)
    assert [head.norm_cfg.type for head in cfg.model.heads] == ['BN', 'GN', 'BN', 'BN']
    assert cfg.model_wrapper_cfg == dict(
        type='MMDistributedDataParallel', find_unused_parameters=True, device_ids=None
    )
    assert 'sync_bn' not in cfg


@pytest.fixture
def group_of_one(tmp_path, monkeypatch):
    monkeypatch.setenv('LOCAL_RANK', '0')
    meeting = f'file://{tmp_path}/rendezvous'
    dist.init_process_group('gloo', init_method=meeting, rank=0, world_size=1)
    yield
    gc.collect()  # a fork that collected the model would wait for gloo's threads, which it lacks
    dist.destroy_process_group()


WRAPPER = dict(find_unused_parameters=True, broadcast_buffers=True, gradient_as_bucket_view=True)


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        ({}, (False, False, False)),
        (dict(model_wrapper_cfg=None, find_unused_parameters=True), (True, False, False)),
        (dict(model_wrapper_cfg=WRAPPER, sync_bn='torch'), (True, True, True)),
        (dict(model_wrapper_cfg=WRAPPER | {'type': MMDistributedDataParallel}), (True, True, True)),
    ],
    ids=['nothing', 'find_unused_parameters', 'model_wrapper_cfg', 'a class'],
)
def test_settings_reach_the_wrapper(options, expected, device, group_of_one, tmp_path):
    device('cpu')
    cfg = tiny_config(tmp_path, iters=1, **options)
    cfg.launcher = 'pytorch'
    model = run(cfg).model
    assert type(model).__name__ == 'MMDistributedDataParallel' and model.device_ids is None
    seen = (model.find_unused_parameters, model.broadcast_buffers, model.gradient_as_bucket_view)
    assert seen == expected
    assert not any(isinstance(m, torch.nn.SyncBatchNorm) for m in model.modules())


def test_other_launchers_are_refused(cfg, device):
    device('cpu')
    cfg.launcher = 'slurm'
    with pytest.raises(RunConfigError, match="'slurm' needs an accelerator"):
        prepare_cpu_launch(cfg)
