"""Class weights of the recall loss."""

import torch
from torch import Tensor


def recall_class_weights(counts: Tensor, floor: float = 1.0) -> Tensor:
    r"""Weighs every class by its share of missed pixels, 1 - recall.

    .. math:: w_c = \max(FN_c, floor) / \max(N_c, floor)

    With floor 0 this is the definition in J. Tian et al., *Striking the Right Balance: Recall Loss
    for Semantic Segmentation*, ICRA 2022, arXiv 2106.14917, section III. With floor 1 it is what
    the authors' released code computes (its counters start at 1), and a class that is recalled
    perfectly keeps the weight 1 / N_c.

    Args:
        counts: (2, C), pixels N_c and true positives TP_c of every class, the first two rows of
            :func:`class_counts`; integers or running averages.
        floor: Minimum number of missed pixels that is counted for a class, ≥ 0.

    Returns:
        float64 tensor (C,) in [0, 1]; a class without pixels gets 0 if the floor is 0.

    Example:
        >>> recall_class_weights(torch.tensor([[4, 2, 1], [3, 1, 1]]), floor=0).tolist()
        [0.25, 0.5, 0.0]
        >>> recall_class_weights(torch.tensor([[4, 2, 1], [3, 1, 1]]), floor=1).tolist()
        [0.25, 0.5, 1.0]
    """
    total, true_positive = counts.double()
    missed = (total - true_positive).clamp(min=floor)
    # Counted pixels are 1 or more, running averages may be less. Without pixels and with floor 0
    # nothing is missed, and any divisor gives the intended 0.
    return missed / total.clamp(min=floor or torch.finfo(total.dtype).tiny)
