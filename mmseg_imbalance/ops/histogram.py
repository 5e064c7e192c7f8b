"""Histograms without sorting and without a host synchronisation."""

import torch
import torch.nn.functional as F
from torch import Tensor

_PARTS = 8


def histogram(bucket: Tensor, size: int) -> Tensor:
    """Counts how often each number occurs in each row.

    Args:
        bucket: (G, S) int32 or int64, 0 … ``size`` - 1.
        size: Number of different values.

    Returns:
        (G, size) int64.

    Example:
        >>> histogram(torch.tensor([[0, 2, 2], [1, 1, 1]]), size=3)
        tensor([[1, 0, 2],
                [0, 3, 0]])
    """
    groups, numbers = bucket.shape
    # Each row has several tables, added up at the end: more cores of a CPU take part, and fewer
    # successive additions wait for the same entry. Padding has a column of its own.
    missing = -numbers % _PARTS
    if missing:
        bucket = F.pad(bucket, (0, missing), value=size)
    bucket = bucket.reshape(groups * _PARTS, -1 if groups else 0).long()
    one = torch.ones((), dtype=torch.int64, device=bucket.device)
    counts = torch.zeros(groups * _PARTS, size + 1, dtype=torch.int64, device=bucket.device)
    counts.scatter_add_(1, bucket, one.expand_as(bucket))
    return counts.view(groups, _PARTS, size + 1).sum(1)[:, :size]
