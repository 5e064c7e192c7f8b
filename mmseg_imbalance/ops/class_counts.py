"""Counts of the pixels, true positives and predicted pixels of every class."""

import torch
from torch import Tensor

from .histogram import histogram
from .kernels import kernels_apply
from .stripes import cache_slices, map_stripes


def class_counts(pred: Tensor, label: Tensor, num_classes: int, ignore_index: int) -> Tensor:
    """Counts the pixels N_c, the true positives TP_c and the predicted pixels P_c of every class.

    Recall is TP / N, precision TP / P, IoU TP / (N + P - TP). There is no host synchronisation:
    ignored pixels are counted in a bin of their own, which is dropped.

    Args:
        pred: Predicted classes 0 … ``num_classes`` - 1, an integer dtype, any shape.
        label: Labels in 0 … ``num_classes`` - 1 or ``ignore_index``, int32 or int64, of the same
            shape.
        num_classes: Number of classes C.
        ignore_index: Label of the pixels to leave out.

    Returns:
        int64 tensor (3, C): N_c in the first row, TP_c in the second, P_c in the third.

    Example:
        >>> label = torch.tensor([0, 0, 0, 0, 1, 1, 2, 255])
        >>> pred = torch.tensor([0, 0, 1, 0, 1, 0, 2, 1])
        >>> class_counts(pred, label, num_classes=3, ignore_index=255).tolist()
        [[4, 2, 1], [3, 1, 1], [4, 2, 1]]
    """
    if kernels_apply(label):
        from .kernels.class_counts import count

        return count(pred.contiguous(), label.contiguous(), num_classes, int(ignore_index))
    # One pass over the pixels counts every pair of label and prediction.
    label, pred = label.reshape(1, -1), pred.reshape(1, -1)
    size = (num_classes + 1) * num_classes

    def count_pairs(part: slice) -> Tensor:
        return histogram(_pair(label[:, part], pred[:, part], num_classes, ignore_index), size)

    pairs = sum(map_stripes(count_pairs, cache_slices(label), label.device))
    confusion = pairs.view(num_classes + 1, num_classes)[:num_classes]
    return torch.stack([confusion.sum(1), confusion.diagonal(), confusion.sum(0)])


def _pair(label: Tensor, pred: Tensor, num_classes: int, ignore_index: int) -> Tensor:
    """Encodes label and prediction as one number; ignored pixels get label C."""
    place = torch.where(label == ignore_index, num_classes, label).int()
    return place.mul_(num_classes).add_(pred)
