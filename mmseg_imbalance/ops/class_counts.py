"""Pixels of every class and how many of them are predicted right."""

import torch
from torch import Tensor


def class_counts(pred: Tensor, label: Tensor, num_classes: int, ignore_index: int) -> Tensor:
    """Counts the pixels N_c and the true positives TP_c of every class.

    No host synchronisation: ignored pixels are counted in a place of their own and dropped.

    Args:
        pred: Predicted classes, integer dtype, any shape.
        label: Labels in 0 … ``num_classes`` - 1 or ``ignore_index``, int64, the same shape.
        num_classes: Number of classes C.
        ignore_index: Label of the pixels to leave out.

    Returns:
        int64 tensor (2, C): N_c in the first row, TP_c in the second.

    Example:
        >>> label = torch.tensor([0, 0, 0, 0, 1, 1, 2, 255])
        >>> pred = torch.tensor([0, 0, 1, 0, 1, 0, 2, 1])
        >>> class_counts(pred, label, num_classes=3, ignore_index=255).tolist()
        [[4, 2, 1], [3, 1, 1]]
    """
    slot = torch.where(label == ignore_index, num_classes, label).flatten()
    hit = (pred == label).flatten().long()
    counts = torch.zeros(2, num_classes + 1, dtype=torch.int64, device=label.device)
    counts[0].scatter_add_(0, slot, torch.ones_like(hit))
    counts[1].scatter_add_(0, slot, hit)
    return counts[:, :num_classes]
