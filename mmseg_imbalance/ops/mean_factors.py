"""Factors with which losses of classes add up to their mean."""

from collections.abc import Sequence

import torch
from torch import Tensor


def class_mask(classes: str | Sequence[int], like: Tensor) -> Tensor:
    """Returns which of the classes are listed, or ``'all'``, (C,) bool, as a tensor (C,) is long.

    Written class by class, on the device: a copy from the host may wait for it.
    """
    mask = torch.full_like(like, classes == 'all', dtype=torch.bool)
    for c in () if classes == 'all' else classes:
        mask[c] = True
    return mask


def mean_factors(
    present: Tensor, classes: str | Sequence[int], class_weight: Tensor | None = None
) -> Tensor:
    """Returns the factors (C,) float64 with which losses of classes add up to their mean.

    Args:
        present: (C,) bool, whether the labels have pixels of the class.
        classes: Which classes to take the mean over: ``'present'``, ``'all'``, or a list.
        class_weight: (C,), factors of the losses, which do not enter the divisor.
    """
    counted = present if classes == 'present' else class_mask(classes, present)
    factor = counted.double() / counted.sum().clamp(min=1)
    return factor if class_weight is None else factor * class_weight
