"""Divisors that are safe to divide by."""

import torch
from torch import Tensor


def safe_divisor(divisor: Tensor) -> Tensor:
    """Replaces by 1 the divisors of batches without any weight.

    Args:
        divisor: (G,) ≥ 0, a floating dtype.

    Returns:
        (G,), 1 where the divisor is 0 or so small that its reciprocal is infinite.

    Example:
        >>> safe_divisor(torch.tensor([0.0, 1e-42, 0.5]))
        tensor([1.0000, 1.0000, 0.5000])
    """
    # So small a number plus 1 is 1. On a GPU this is a launch less than torch.where.
    return divisor + (divisor < torch.finfo(divisor.dtype).tiny)
