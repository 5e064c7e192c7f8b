"""How much is worked on at a time."""

from collections.abc import Iterator

import torch
from torch import Tensor

from .compiling import is_compiling

# What the caches of a CPU's cores hold, so that only the first of several operations reads from
# memory, and their intermediate results take none.
CPU_ELEMENTS = 1 << 18
# A GPU has to be kept busy, and its memory is what matters: a small share of the whole.
GPU_ELEMENTS, GPU_STRIPES = 1 << 20, 32


def stripe_elements(device: torch.device, total: int) -> int:
    """The number of elements of a stripe of ``total`` elements."""
    if device.type == 'cpu':
        return CPU_ELEMENTS
    return max(GPU_ELEMENTS, total // GPU_STRIPES)


def cache_slices(numbers: Tensor) -> Iterator[slice]:
    """Cuts the columns of (G, S) into slices that a CPU's caches hold; elsewhere there is one.

    Example:
        >>> list(cache_slices(torch.empty(2, 300000)))
        [slice(0, 131072, None), slice(131072, 262144, None), slice(262144, 300000, None)]
    """
    groups, columns = numbers.shape
    step = max(1, columns)
    if numbers.device.type == 'cpu' and not is_compiling():
        step = min(step, max(1, CPU_ELEMENTS // max(1, groups)))
    for start in range(0, max(1, columns), step):
        yield slice(start, min(start + step, columns))
