"""From command-line arguments to a run's config."""

import argparse

import pytest
from mmengine.config import Config
from mmengine.optim import OptimWrapper

from mmseg_imbalance.utils import run_config
from mmseg_imbalance.utils.run_config import (
    RunConfigError,
    add_run_arguments,
    check_data,
    enable_amp,
    load_run_config,
)


def load(path, *words):
    parser = argparse.ArgumentParser()
    add_run_arguments(parser)
    return load_run_config(parser.parse_args([str(path), *words]))


@pytest.fixture
def config(tmp_path):
    path = tmp_path / 'some_run.py'
    path.write_text('a = dict(b=[1, 2])\n')
    return path


def test_options_override_the_config(config):
    cfg = load(config, '--cfg-options', 'a.b=[(3,4)]', 'a.c=x', '--launcher', 'pytorch')
    assert cfg.a == dict(b=[(3, 4)], c='x')
    assert cfg.launcher == 'pytorch'


def test_work_dir_is_that_of_the_command_line_then_the_config_then_the_name(config):
    assert load(config).work_dir == 'work_dirs/some_run'
    config.write_text("work_dir = 'mine'\n")
    assert load(config).work_dir == 'mine'
    assert load(config, '--work-dir', 'other').work_dir == 'other'


@pytest.mark.parametrize(
    'text',
    [
        'a = (',
        'a = b',
        "_base_ = 'none.py'\n",
        "custom_imports = dict(imports=['no_such_module'])\n",
    ],
)
def test_broken_config_is_reported_in_one_line(config, text):
    config.write_text(text)
    with pytest.raises(RunConfigError, match='cannot load config .*some_run.py: ') as error:
        load(config)
    assert '\n' not in str(error.value)


def test_the_import_that_failed_is_named(config):
    config.write_text("custom_imports = dict(imports=['no_such_module'])\n")
    with pytest.raises(RunConfigError, match="some_run.py: No module named 'no_such_module'"):
        load(config)
    config.write_text("raise ValueError('my custom modules are missing')\n")
    with pytest.raises(RunConfigError, match='some_run.py: my custom modules are missing'):
        load(config)


def test_option_that_does_not_fit_is_reported(config):
    with pytest.raises(RunConfigError, match='cannot load config'):
        load(config, '--cfg-options', 'a.b.7=1')


def test_missing_data_are_named(tmp_path):
    (tmp_path / 'images').mkdir()
    dataset = dict(data_root=str(tmp_path), data_prefix=dict(img_path='images'))
    cfg = Config(dict(train_dataloader=dict(dataset=dataset)))
    with pytest.raises(RunConfigError, match='has no val_dataloader'):
        check_data(cfg, 'train', 'val')
    train = cfg.train_dataloader.dataset
    train.ann_file = 'list.txt'
    with pytest.raises(RunConfigError, match='not found: .*/list.txt .*ann_file of train_data'):
        check_data(cfg, 'train')
    (tmp_path / 'list.txt').touch()
    train.data_prefix.seg_map_path = 'labels'
    with pytest.raises(RunConfigError, match='not found: .*/labels .*prefix.seg_map_path'):
        check_data(cfg, 'train')
    train.data_prefix.img_path = 'none'
    with pytest.raises(RunConfigError, match='data not found: .*/none .*data_prefix.img_path'):
        check_data(cfg, 'train')
    train.dataset = 'potsdam'  # an argument of its own, not what it wraps
    with pytest.raises(RunConfigError, match='data not found: .*/none .*data_prefix.img_path'):
        check_data(cfg, 'train')
    cfg.train_dataloader.dataset.backend_args = dict(backend='petrel')
    check_data(cfg, 'train')
    cfg.train_dataloader.dataset.backend_args = dict(backend='local')
    with pytest.raises(RunConfigError, match='data not found'):
        check_data(cfg, 'train')
    cfg.train_dataloader.dataset.data_root = 's3://bucket/data'
    check_data(cfg, 'train')


def amp(device, monkeypatch, **wrapper):
    monkeypatch.setattr(run_config, 'get_device', lambda: device)
    cfg = Config(dict(optim_wrapper=wrapper))
    enable_amp(cfg)
    return dict(cfg.optim_wrapper)


@pytest.mark.elsewhere
def test_amp_on_a_gpu_scales_the_loss(monkeypatch):
    expected = dict(type='AmpOptimWrapper', loss_scale='dynamic')
    assert amp('cuda', monkeypatch, type='OptimWrapper') == expected
    assert amp('cuda', monkeypatch, type=OptimWrapper) == expected  # as in pure Python configs
    assert amp('cuda', monkeypatch, type='mmengine.optim.OptimWrapper') == expected  # dumped
    configured = dict(type='AmpOptimWrapper', loss_scale=512.0)
    assert amp('cuda', monkeypatch, **configured) == configured


@pytest.mark.elsewhere
def test_amp_on_a_cpu_is_bfloat16(monkeypatch):
    expected = dict(type='BFloat16OptimWrapper')
    assert amp('cpu', monkeypatch, type='OptimWrapper') == expected
    assert amp('cpu', monkeypatch, type='AmpOptimWrapper', loss_scale=512.0) == expected


def test_amp_refuses_other_wrappers(monkeypatch):
    with pytest.raises(RunConfigError, match="found 'Mine'"):
        amp('cuda', monkeypatch, type='Mine')
