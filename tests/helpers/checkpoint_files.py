"""Checkpoints: compared, and with what does not belong into them."""

import os

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

_OF_THE_CLOCK = {
    'time', 'data_time', 'memory', 'exp_name', 'experiment_name', 'run_id', 'cfg', 'last_ckpt'
}  # fmt: skip


class Command:
    """Pickled, it runs a command of the shell when it is loaded."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def load(path):
    """What a trusted checkpoint holds."""
    return torch.load(path, weights_only=False)


def same(a, b, path='checkpoint'):
    """Asserts that two checkpoints are equal bit for bit, but for times and the names of runs."""
    assert type(a) is type(b), path
    if isinstance(a, HistoryBuffer):
        a, b = a.data, b.data
    if isinstance(a, dict):
        kept = [key for key in a if str(key).rpartition('/')[2] not in _OF_THE_CLOCK]
        assert a.keys() == b.keys(), path
        for key in kept:
            same(a[key], b[key], f'{path}.{key}')
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), path
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            same(x, y, f'{path}[{i}]')
    elif isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype and torch.equal(a, b), path
    elif isinstance(a, np.ndarray):
        np.testing.assert_array_equal(a, b, path)
    else:
        assert a == b, path
