"""Decides where kernels are used."""

import functools
import importlib.util
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor
from torch.utils._python_dispatch import _get_current_dispatch_mode

from ..compiling import is_compiling

SWITCH = 'MMSEG_IMBALANCE_KERNELS'
"""Name of the environment variable that turns the kernels off if it is 0."""
_LEAST_CAPABILITY = (8, 0)  # for which the kernels are known to compile
_MOST_IMAGES = 65535  # as many as fit into a grid of programs
_thread = threading.local()


def kernels_apply(tensor: Tensor) -> bool:
    """Whether the kernels are used for a tensor: on an NVIDIA GPU, not in float64.

    They are not used in code that is being compiled, under a dispatch mode such as that of fake
    tensors, or if the environment variable
    ``MMSEG_IMBALANCE_KERNELS`` is 0. The GPU needs compute capability 8.0. Triton has to be able
    to build a kernel, for which it needs a C compiler; if it cannot, a warning says so.

    Args:
        tensor: Logits, losses or labels.
    """
    return (
        tensor.is_cuda
        and tensor.dtype != torch.float64
        and tensor.numel() > 0
        and tensor.shape[0] <= _MOST_IMAGES
        and not (is_compiling() or _get_current_dispatch_mode())
        and not getattr(_thread, 'without_kernels', False)
        and os.environ.get(SWITCH) != '0'
        and _work_on(tensor.device.index)
    )


@contextmanager
def without_kernels() -> Iterator[None]:
    """A context whose computations, backward passes included, do not use the kernels."""
    before = getattr(_thread, 'without_kernels', False)
    _thread.without_kernels = True
    try:
        yield
    finally:
        _thread.without_kernels = before


def kernels_if(wanted: bool):
    """A context in which the kernels are used only if they are wanted."""
    return nullcontext() if wanted or is_compiling() else without_kernels()


def device_of(tensor: Tensor):
    """A context in which kernels run on the tensor's device; a null context if they do anyway."""
    if not tensor.is_cuda or tensor.device.index == torch.cuda.current_device():
        return nullcontext()
    return torch.cuda.device(tensor.device)


@functools.cache
def _work_on(gpu: int) -> bool:
    """Whether kernels can be built for a GPU; this is tried once."""
    if torch.version.cuda is None or importlib.util.find_spec('triton') is None:
        return False
    if torch.cuda.get_device_capability(gpu) < _LEAST_CAPABILITY:
        return False
    try:
        _try_kernel(torch.device('cuda', gpu))
    except torch.cuda.OutOfMemoryError:
        raise
    except Exception as error:  # Triton's, the C compiler's or the operating system's
        reason = str(error).strip().splitlines() or [type(error).__name__]
        warnings.warn(
            f'the losses do without their Triton kernels, and take longer: Triton cannot build '
            f'them here ({reason[0]}); install a C compiler and the headers of Python, and '
            f'Triton 3 or newer, or set {SWITCH}=0 to be rid of this warning',
            stacklevel=2,
        )
        return False
    return True


def _try_kernel(device: torch.device) -> None:
    from .class_counts import count  # needs Triton 3 or newer
    from .score import score

    label = torch.zeros(1, 1, 1, dtype=torch.int64, device=device)
    score(label[None].float(), label, None, -1, None)
    count(label, label, 1, -1)
