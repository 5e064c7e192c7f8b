"""Summaries of pixel weights for curves; not meant for every training step."""

import torch
from torch import Tensor


def class_mean(weight: Tensor, label: Tensor, num_classes: int) -> Tensor:
    """Returns the mean weight of each class's pixels.

    Args:
        weight: Weights of any shape, a floating dtype.
        label: Classes 0 … ``num_classes`` - 1, int64, the same shape; -1 leaves a pixel out.
        num_classes: Number of classes C.

    Returns:
        (C,) float64, NaN for a class without a pixel.

    Example:
        >>> class_mean(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0, 0, -1]), num_classes=2)
        tensor([1.5000,    nan], dtype=torch.float64)
    """
    sums = torch.zeros(2, num_classes + 1, dtype=torch.float64, device=weight.device)
    place = label.flatten() + 1
    sums[0].scatter_add_(0, place, weight.flatten().double())
    sums[1].scatter_add_(0, place, torch.ones_like(place, dtype=torch.float64))
    total, pixels = sums[:, 1:]
    return total / pixels


def weight_support(weight: Tensor, valid: Tensor, share: float = 0.9) -> Tensor:
    """Returns the smallest fraction of valid pixels that carries a share of the weight.

    1/10 means that a tenth of the pixels dominates; uniform weights give about ``share``.

    Args:
        weight: (G, S) weights ≥ 0 of G groups (images), 0 where not valid.
        valid: (G, S) bool.
        share: In (0, 1].

    Returns:
        (G,) float64 in (0, 1], NaN for a group without weight.

    Example:
        >>> weight = torch.tensor([[6.0, 3.0, 1.0, 0.0, 0.0]])
        >>> weight_support(weight, torch.tensor([[True, True, True, True, False]]))  # 2 of 4
        tensor([0.5000], dtype=torch.float64)
    """
    largest_first = weight.double().sort(1, descending=True).values
    if torch.are_deterministic_algorithms_enabled():
        largest_first = largest_first.cpu()  # a GPU adds floats up in no fixed order
    carried = largest_first.cumsum(1)
    total = largest_first.sum(1, keepdim=True)
    # rounding must not require one more pixel
    pixels = (carried < share * total * (1 - 1e-12)).sum(1) + 1
    fraction = pixels.clamp(max=weight.shape[1]).double() / valid.sum(1).to(pixels.device)
    return torch.where(total[:, 0] > 0, fraction, torch.nan).to(weight.device)
