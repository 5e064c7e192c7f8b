"""Where the kernels are used."""

import functools
import importlib.util
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor

from ..compiling import is_compiling

SWITCH = 'MMSEG_IMBALANCE_KERNELS'
"""Name of the environment variable that turns the kernels off where it is 0."""
_thread = threading.local()


def kernels_apply(tensor: Tensor) -> bool:
    """Whether the kernels do the work on a tensor: on an NVIDIA GPU, not in float64.

    Not in code that is being compiled, and not where the environment variable
    ``MMSEG_IMBALANCE_KERNELS`` is 0.

    Args:
        tensor: Logits, losses or labels.
    """
    return (
        tensor.is_cuda
        and tensor.dtype != torch.float64
        and tensor.numel() > 0
        and not is_compiling()
        and not getattr(_thread, 'without_kernels', False)
        and os.environ.get(SWITCH) != '0'
        and _has_triton()
    )


@contextmanager
def without_kernels() -> Iterator[None]:
    """What is computed in this context does without the kernels, its backward pass included."""
    before = getattr(_thread, 'without_kernels', False)
    _thread.without_kernels = True
    try:
        yield
    finally:
        _thread.without_kernels = before


def device_of(tensor: Tensor):
    """A context in which kernels run where the tensor is; none where they would anyway."""
    if not tensor.is_cuda or tensor.device.index == torch.cuda.current_device():
        return nullcontext()
    return torch.cuda.device(tensor.device)


@functools.cache
def _has_triton() -> bool:
    return torch.version.cuda is not None and importlib.util.find_spec('triton') is not None
