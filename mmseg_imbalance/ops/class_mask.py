"""Classes that are listed, as a mask."""

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
