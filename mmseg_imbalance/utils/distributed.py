"""Helpers for distributed runs that need only ``torch.distributed``."""

import numpy as np
import torch.distributed as dist
from torch import Tensor


def is_distributed() -> bool:
    """Whether a process group exists."""
    return dist.is_available() and dist.is_initialized()


def get_dist_info() -> tuple[int, int]:
    """Returns rank and world size, which are 0 and 1 without a process group."""
    return (dist.get_rank(), dist.get_world_size()) if is_distributed() else (0, 1)


def all_reduce(tensor: Tensor) -> None:
    """Sums a tensor over all processes, in place."""
    if is_distributed():
        dist.all_reduce(tensor)


def shared_random_seed() -> int:
    """Draws a seed in 0 … 2³¹ - 1 on rank 0 and returns it on all ranks."""
    seed = [int(np.random.randint(2**31))]
    if is_distributed():
        dist.broadcast_object_list(seed)
    return seed[0]
