"""A value of every class, at the pixels of the class."""

import torch
from torch import Tensor

from .kernels import kernels_apply


def per_pixel(values: Tensor, label: Tensor) -> Tensor:
    """Returns the value of every pixel's class, and 0 for pixels that have none.

    Args:
        values: (C,), a value per class, a floating dtype; no gradient flows back to them.
        label: (…) int64, classes 0 … C - 1, or C for a pixel that has none.

    Returns:
        (…), the dtype of ``values``.

    Example:
        >>> per_pixel(torch.tensor([0.5, 2.0]), torch.tensor([[0, 1], [1, 2]]))
        tensor([[0.5000, 2.0000],
                [2.0000, 0.0000]])
    """
    values = values.detach()
    if kernels_apply(label):
        from .kernels.per_pixel import spread

        return spread(values.contiguous(), label.contiguous())
    table = torch.cat([values, values.new_zeros(1)])
    return table.index_select(0, label.flatten()).view(label.shape)
