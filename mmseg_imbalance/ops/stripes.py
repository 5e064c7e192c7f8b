"""Sizes of the stripes that are processed at a time."""

from collections.abc import Iterator

import torch
from torch import Tensor

from .compiling import is_compiling

# Fits the caches of a CPU's cores, so that only the first of several operations reads from memory
# and intermediate results take up none.
CPU_ELEMENTS = 1 << 18
# On a GPU, stripes have to keep it busy, but be a small share of the whole to save memory.
GPU_ELEMENTS, GPU_STRIPES = 1 << 20, 32


def stripe_elements(device: torch.device, total: int) -> int:
    """Returns how many of ``total`` elements a stripe has."""
    if device.type == 'cpu':
        return CPU_ELEMENTS
    return max(GPU_ELEMENTS, total // GPU_STRIPES)


def cache_slices(numbers: Tensor) -> Iterator[slice]:
    """Cuts the columns of (G, S) into slices that fit a CPU's caches; elsewhere into one slice.

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
