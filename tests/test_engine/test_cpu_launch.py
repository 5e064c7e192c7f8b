"""What changes in a config that is launched without an accelerator (two processes: test_dist)."""

import pytest
import torch
from mmengine.config import Config

from mmseg_imbalance.engine import RunConfigError, cpu_launch, prepare_cpu_launch


@pytest.fixture
def cfg():
    norm = dict(type='SyncBN', requires_grad=True)
    heads = [dict(norm_cfg=norm), dict(norm_cfg=dict(type='GN'))]
    return Config(dict(launcher='pytorch', model=dict(norm_cfg=norm, heads=heads)))


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
    monkeypatch.setattr('torch.distributed.init_process_group', started.append)
    monkeypatch.setattr('atexit.register', ended.append)
    monkeypatch.setattr('torch.distributed.get_rank', lambda: 0)
    prepare_cpu_launch(cfg)
    assert started == ['gloo'] and ended == [torch.distributed.destroy_process_group]
    assert cfg.model.norm_cfg == dict(type='BN', requires_grad=True)
    assert [head.norm_cfg.type for head in cfg.model.heads] == ['BN', 'GN']
    assert cfg.model_wrapper_cfg.device_ids is None


def test_other_launchers_are_refused(cfg, device):
    device('cpu')
    cfg.launcher = 'slurm'
    with pytest.raises(RunConfigError, match="'slurm' needs an accelerator"):
        prepare_cpu_launch(cfg)
