"""The Tversky index of soft predictions."""

from torch import Tensor

from .region_sums import RegionSums
from .safe_divisor import safe_divisor

# The slope of a power < 1 is infinite at 0, so that below this number the power is continued by
# the line to 0.
_LEAST = 1e-7


def tversky_losses(
    sums: RegionSums, alpha: float, beta: float, gamma: float | Tensor, smooth: float = 0.0
) -> Tensor:
    """Computes (1 - TI)^gamma of every class, of the Tversky index TI.

    TI = (TP + smooth) / (TP + alpha · FN + beta · FP + smooth), the Dice score for 1/2 and 1/2.

    Args:
        sums: Sums over a batch's or an image's pixels, (C,).
        alpha: Factor ≥ 0 of the missed probability FN of the class's pixels.
        beta: Factor ≥ 0 of the probability FP at other pixels.
        gamma: Exponent ≥ 0, for all classes or (C,).
        smooth: Number of pixels ≥ 0 that are added to the index's numerator and denominator.

    Returns:
        (C,) float64 in [0, 1]; 0 for a class that neither has nor gets a pixel.

    Example:
        >>> import torch
        >>> sums = RegionSums(torch.tensor([2.0]), torch.tensor([3.0]), torch.tensor([4.0]))
        >>> tversky_losses(sums, alpha=0.75, beta=0.5, gamma=2)  # (2 / 4)², of FN = 2 and FP = 1
        tensor([0.2500])
    """
    missed = alpha * (sums.pixels - sums.true_positive)
    missed = missed + beta * (sums.predicted - sums.true_positive)
    missed = missed.clamp(min=0)  # sums are rounded
    # 1 - TI without the difference, whose digits would cancel
    loss = missed / safe_divisor(sums.true_positive + missed + smooth)
    return loss * loss.clamp(min=_LEAST) ** (gamma - 1)
