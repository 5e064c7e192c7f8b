"""Reads the config that a training dumped into its work dir, without executing it."""

import ast
import math
from collections.abc import Mapping
from pathlib import Path

from mmengine.config import Config, ConfigDict

from mmseg_imbalance.utils.command_line import first_line
from mmseg_imbalance.utils.files import read_bytes

_MAX_BYTES = 1 << 20  # a dumped config has some KiB; a parsed one takes hundreds of times its size
_NAMES = {'inf': math.inf, 'nan': math.nan}  # as which MMEngine dumps these numbers
# What is read of a config, and what it has to be where it is there.
_PARTS = {
    'train_cfg': Mapping,
    'train_cfg.max_iters': int,
    'train_cfg.max_epochs': int,
    'train_cfg.val_interval': int,
    'train_cfg.val_begin': int,
    'train_cfg.dynamic_intervals': list,
    'randomness': Mapping,
    'randomness.seed': int,
    'default_hooks': Mapping,
    'default_hooks.logger': Mapping,
    'custom_hooks': list,
    'model': Mapping,
    'model.backbone': Mapping,
    'model.decode_head': Mapping | list,
    'optim_wrapper': Mapping,
    'optim_wrapper.optimizer': Mapping,
    'optim_wrapper.optimizer.type': str,
    'optim_wrapper.optimizer.lr': int | float,
    'train_dataloader': Mapping,
    'train_dataloader.batch_size': int,
    'train_dataloader.sampler': Mapping,
    'val_dataloader': Mapping,
    'val_dataloader.dataset': Mapping,
    'val_dataloader.dataset.type': str,
}
_LEAST = {
    'train_cfg.max_iters': 1,
    'train_cfg.max_epochs': 1,
    'train_cfg.val_interval': 1,
    'train_cfg.val_begin': 0,
}


def read_dumped_config(path: Path) -> Config:
    """Reads a config that consists of values alone, as MMEngine dumps them; no code is run.

    Args:
        path: ``vis_data/config.py`` of a training, or the ``.py`` in its work dir.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no Python, has anything but assignments of values, or a part is of the
            wrong type or out of its range.
    """
    data = read_bytes(path, _MAX_BYTES)
    try:
        config = Config(_assignments(data))
    except Exception as error:  # Python's parser and Config raise almost anything on damaged files
        raise ValueError(first_line(error)) from error
    for key, kind in _PARTS.items():
        _check_part(config, key, kind)
    _check_dicts(config, 'custom_hooks', least=0)
    _check_dicts(config, 'model.decode_head', least=1)
    for pair in _part(config, 'train_cfg.dynamic_intervals') or ():
        _check_dynamic_interval(pair)
    return config


def _assignments(data: bytes) -> dict:
    """The values by the names that they are assigned to."""
    content = {}
    for node in ast.parse(data).body:
        if not isinstance(node, ast.Assign) or [type(t) for t in node.targets] != [ast.Name]:
            raise _no_value(node)
        content[node.targets[0].id] = _value(node.value)
    return content


def _value(node: ast.expr):
    match node:
        case ast.Constant(value=None | bool() | int() | float() | str() as value):
            return value
        case ast.Name(id=name) if name in _NAMES:
            return _NAMES[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            number = _value(operand)
            if type(number) in (int, float):
                return -number
        case ast.List(elts=elements):
            return [_value(element) for element in elements]
        case ast.Tuple(elts=elements):
            return tuple(_value(element) for element in elements)
        case ast.Set(elts=elements):
            return {_value(element) for element in elements}
        case ast.Dict(keys=keys, values=values) if None not in keys:
            return {_value(key): _value(value) for key, value in zip(keys, values, strict=True)}
        case ast.Call(func=ast.Name(id='dict'), args=args, keywords=keywords) if len(args) < 2:
            given = {word.arg: _value(word.value) for word in keywords if word.arg}
            if len(given) == len(keywords):  # no ** and, as Python demands, no name twice
                return dict(*map(_value, args), **given)
    raise _no_value(node)


def _no_value(node: ast.AST) -> ValueError:
    return ValueError(
        f'line {node.lineno} is code, not a value; runs are read from the config that a training '
        'dumps, and that is not executed'
    )


def _part(config: ConfigDict, key: str):
    """The value of a dotted key, None where a part is missing or None."""
    value = config
    for name in key.split('.'):
        value = value.get(name) if isinstance(value, Mapping | Config) else None
    return value


def _check_part(config: Config, key: str, kind) -> None:
    value = _part(config, key)
    if value is None:
        return
    finite = not isinstance(value, float) or math.isfinite(value)
    if not isinstance(value, kind) or isinstance(value, bool) or not finite:
        raise ValueError(f'{key} is {value!r:.80}')
    if key in _LEAST and value < _LEAST[key]:
        raise ValueError(f'{key} is {value}, not ≥ {_LEAST[key]}')


def _check_dicts(config: Config, key: str, least: int) -> None:
    """Makes sure that a list, if there is one, has dicts alone, and how many at least."""
    part = _part(config, key)
    if not isinstance(part, list):
        return
    if len(part) < least or not all(isinstance(element, Mapping) for element in part):
        raise ValueError(f'{key} is no list of dicts')


def _check_dynamic_interval(pair: object) -> None:
    """Makes sure that it is an iteration or epoch, and the interval of validations from there."""
    if not (isinstance(pair, tuple) and [type(number) for number in pair] == [int, int]):
        raise ValueError('train_cfg.dynamic_intervals is no list of pairs')
    milestone, interval = pair
    if milestone < 0 or interval < 1:
        raise ValueError(
            f'train_cfg.dynamic_intervals has {pair}, not a milestone ≥ 0 and an interval ≥ 1'
        )
