"""Divisors that a batch can always be divided by."""

import torch
from torch import Tensor


def safe_divisor(divisor: Tensor) -> Tensor:
    """Replaces the divisors of batches in which nothing weighs by 1.

    Args:
        divisor: (G,) ≥ 0, a floating dtype.

    Returns:
        (G,), 1 where it was 0 or so small that its reciprocal is infinite.

    Example:
        >>> safe_divisor(torch.tensor([0.0, 1e-42, 0.5]))
        tensor([1.0000, 1.0000, 0.5000])
    """
    return torch.where(divisor >= torch.finfo(divisor.dtype).tiny, divisor, 1.0)
