"""Dumped configs, read without executing them, are what MMEngine reads."""

import math
from pathlib import Path

import pytest
from mmengine.config import Config

from lab.study.dumped_config import read_dumped_config
from lab.study.run_settings import validation_data

CONFIGS = sorted((Path(__file__).resolve().parents[2] / 'configs').glob('[a-z]*/*.py'))


@pytest.mark.parametrize('path', CONFIGS[::7], ids=lambda path: path.stem)
def test_shipped_configs(tmp_path, path):
    Config.fromfile(path, import_custom_modules=False).dump(tmp_path / 'config.py')
    expected = Config.fromfile(tmp_path / 'config.py', import_custom_modules=False)
    found = read_dumped_config(tmp_path / 'config.py')
    assert found.to_dict() == expected.to_dict()
    assert type(found.model) is type(expected.model)


def test_values_of_every_kind(tmp_path):
    """Infinity too, which MMEngine dumps as a name and cannot read again."""
    value = {
        'loss': dict(p=math.inf, q=-math.inf, texts=['ä', "it's", '']),
        'nested': ((1, -2.5), [None, True, {'0': 1, 'a b': dict(c=[])}]),
    }
    Config(value).dump(tmp_path / 'config.py')
    found = read_dumped_config(tmp_path / 'config.py').to_dict()
    assert found == value
    (tmp_path / 'config.py').write_text('a = nan\na = 1\nb = {1, 2}\nc = dict({"x y": 1}, z=-1)\n')
    found = read_dumped_config(tmp_path / 'config.py').to_dict()
    assert found == {'a': 1, 'b': {1, 2}, 'c': {'x y': 1, 'z': -1}}


@pytest.mark.parametrize(
    'code',
    [
        'import os', 'a.b = 1', 'a[0] = 1', 'a, b = 1, 2', 'a += 1', 'a = b = 1', 'del a',
        'print(1)', 'a = b',
        'a = print(1)', 'a = dict(1, 2)', 'a = dict(**b)', 'a = dict(b=1, b=2)', 'a = {**b}',
        'a = [*b]', 'a = f"{b}"',
        'a = 1 + 1', 'a = lambda: 1', 'a = -"x"', 'a = -True', 'a = b"x"', 'a = ...', 'a = 1j',
        'a = (b := 1)', 'a = [x for x in ()]', 'def a(): pass', 'a = [1][0]', '"text"',
    ],
)  # fmt: skip
def test_code_is_refused(tmp_path, code):
    (tmp_path / 'config.py').write_text(f'x = 1\n{code}\n')
    with pytest.raises(ValueError, match='^line 2 is code, not a value; runs are read from'):
        read_dumped_config(tmp_path / 'config.py')


@pytest.mark.parametrize(
    'train_cfg, reason',
    [
        (dict(max_iters=0), 'max_iters is 0, not ≥ 1'),
        (dict(val_interval=0), 'val_interval is 0, not ≥ 1'),
        (dict(val_begin=-1), 'val_begin is -1, not ≥ 0'),
        (dict(dynamic_intervals=[(5, 0)]), r'dynamic_intervals has \(5, 0\), not a milestone ≥ 0'),
        (dict(dynamic_intervals=[(5, 1), (7, -3)]), r'has \(7, -3\), .* an interval ≥ 1'),
        (dict(dynamic_intervals=[(-1, 2)]), r'has \(-1, 2\), not a milestone ≥ 0'),
        (dict(dynamic_intervals=[(5,)]), 'dynamic_intervals is no list of pairs'),
        (dict(dynamic_intervals=[(5, True)]), 'dynamic_intervals is no list of pairs'),
    ],
)
def test_intervals_that_make_no_sense_are_refused(tmp_path, train_cfg, reason):
    Config(dict(train_cfg=dict(dict(max_iters=9), **train_cfg))).dump(tmp_path / 'config.py')
    with pytest.raises(ValueError, match=rf'^train_cfg\..*{reason}'):
        read_dumped_config(tmp_path / 'config.py')


def test_least_intervals_are_read(tmp_path):
    train_cfg = dict(max_iters=1, val_interval=1, val_begin=0, dynamic_intervals=[(0, 1)])
    Config(dict(train_cfg=train_cfg)).dump(tmp_path / 'config.py')
    assert read_dumped_config(tmp_path / 'config.py').train_cfg.to_dict() == train_cfg


@pytest.mark.parametrize(
    'part, value, fits',
    [
        ('custom_hooks', [], True), ('custom_hooks', [{}], True), ('custom_hooks', [{}, 1], False),
        ('model', dict(decode_head=[]), False), ('model', dict(decode_head=[{}]), True),
        ('model', dict(decode_head=[{}, []]), False), ('model', dict(decode_head={}), True),
    ],
)  # fmt: skip
def test_lists_of_dicts(tmp_path, part, value, fits):
    Config({part: value}).dump(tmp_path / 'config.py')
    if fits:
        assert read_dumped_config(tmp_path / 'config.py').to_dict() == {part: value}
    else:
        with pytest.raises(ValueError, match=f'^{part}.* is no list of dicts'):
            read_dumped_config(tmp_path / 'config.py')


@pytest.mark.parametrize(
    'content',
    [
        b'a = (', b'\0', b'\xff', b'a = {[]: 1}', b'a = {{}}', b'filename = 1', b'a = dict([1])',
        b'a = dict(1)', b'a = ' + b'-' * 9_999 + b'1', b'a = ' + b'[' * 9_999,
        b'a = {1: {2: 3}}\n}',
        b'a = ' + b'[' * 150 + b']' * 150 + b'\nb = ' + b'{0:' * 150, b'a = 1' + b'0' * 9999,
    ],
)  # fmt: skip
def test_every_failure_is_a_value_error_in_one_line(tmp_path, content):
    (tmp_path / 'config.py').write_bytes(content)
    with pytest.raises(ValueError) as error:
        read_dumped_config(tmp_path / 'config.py')
    assert type(error.value) is ValueError
    assert 0 < len(str(error.value)) < 300 and '\n' not in str(error.value)


def test_configs_larger_than_any_that_is_dumped_are_not_parsed(tmp_path):
    """A MiB of lists takes half a GiB of memory."""
    (tmp_path / 'config.py').write_bytes(b'a = [' + b'[],' * 350_000 + b']')
    with pytest.raises(ValueError, match='^larger than 1 MiB$'):
        read_dumped_config(tmp_path / 'config.py')


@pytest.mark.parametrize('config', [{}, dict(val_dataloader=dict(dataset=dict(ann_file='a')))])
def test_data_without_a_type_have_a_name_for_readers(config):
    assert validation_data(Config(config))['type'] == 'an unnamed data set'
