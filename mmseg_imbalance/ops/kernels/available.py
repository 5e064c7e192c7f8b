"""Where the kernels are used."""

import functools
import importlib.util
import os
from contextlib import nullcontext

import torch
from torch import Tensor

from ..compiling import is_compiling

SWITCH = 'MMSEG_IMBALANCE_KERNELS'
"""Name of the environment variable that turns the kernels off where it is 0."""


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
        and os.environ.get(SWITCH) != '0'
        and not is_compiling()
        and _has_triton()
    )


def device_of(tensor: Tensor):
    """A context in which kernels run where the tensor is."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext()


@functools.cache
def _has_triton() -> bool:
    return torch.version.cuda is not None and importlib.util.find_spec('triton') is not None
