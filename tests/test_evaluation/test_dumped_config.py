"""Dumped configs, read without executing them, are what MMEngine reads."""

import math
from pathlib import Path

import pytest
from mmengine.config import Config

from mmseg_imbalance.evaluation.dumped_config import read_dumped_config

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
        'a = print(1)', 'a = dict(1, 2)', 'a = dict(**b)', 'a = {**b}', 'a = [*b]', 'a = f"{b}"',
        'a = 1 + 1', 'a = lambda: 1', 'a = -"x"', 'a = -True', 'a = b"x"', 'a = ...', 'a = 1j',
        'a = (b := 1)', 'a = [x for x in ()]', 'def a(): pass', 'a = [1][0]', '"text"',
    ],
)  # fmt: skip
def test_code_is_refused(tmp_path, code):
    (tmp_path / 'config.py').write_text(f'x = 1\n{code}\n')
    with pytest.raises(ValueError, match='^line 2 is code, not a value; runs are read from'):
        read_dumped_config(tmp_path / 'config.py')
