"""How much is worked on at a time."""

from collections.abc import Iterator

from torch import Tensor

from .compiling import is_compiling

# On a CPU what the caches of its cores hold, so that only the first of several operations reads
# from memory and their intermediate results take none; on a GPU enough to keep it busy.
CPU_ELEMENTS = 1 << 18
GPU_ELEMENTS = 1 << 24


def stripe_elements(tensor: Tensor) -> int:
    """The number of elements of a stripe, by the device of a tensor."""
    return CPU_ELEMENTS if tensor.device.type == 'cpu' else GPU_ELEMENTS


def cache_slices(numbers: Tensor) -> Iterator[slice]:
    """Cuts the columns of (G, S) into slices.

    Example:
        >>> import torch
        >>> list(cache_slices(torch.empty(2, 300000)))
        [slice(0, 131072, None), slice(131072, 262144, None), slice(262144, 300000, None)]
    """
    groups, columns = numbers.shape
    step = max(1, stripe_elements(numbers) // max(1, groups))
    if is_compiling():  # its loops keep intermediate results in registers
        step = max(1, columns)
    for start in range(0, max(1, columns), step):
        yield slice(start, min(start + step, columns))
