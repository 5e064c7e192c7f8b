"""Stands in for MMCV's compiled ops: mmseg imports its models, and an op that runs says why not."""

from collections.abc import Callable


def __getattr__(name: str) -> Callable:
    if name.startswith('__'):
        raise AttributeError(name)

    def op(*args, **kwargs):
        raise NotImplementedError(
            f"{name} is one of MMCV's compiled ops, which the tests do without: "
            f'they run on mmcv-lite and .ci/upstream/_ext.py'
        )

    return op
