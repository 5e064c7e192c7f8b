"""The Jaccard loss over the buckets of a histogram of errors, and which of them to divide."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

# Instead of no pixel of a class: its Jaccard loss still jumps to 1 at the first background pixel.
_NONE = 1e-15


class BucketCounts(NamedTuple):
    """Pixels in and above the buckets of each class, which ascend with the error.

    All are (C, B) float32.

    Attributes:
        foreground: Pixels of the class in a bucket, f.
        background: Other pixels in it, n.
        intersection: Foreground that is not above it, I = G - FN.
        union: All foreground, and background above it, U = G + FP.
    """

    foreground: Tensor
    background: Tensor
    intersection: Tensor
    union: Tensor

    @classmethod
    def of(cls, foreground: Tensor, background: Tensor) -> 'BucketCounts':
        """Sums the counts (C, B) int32 of the buckets.

        Example:
            >>> one, two = torch.tensor([[1, 0, 1]]).int(), torch.tensor([[2, 1, 1]]).int()
            >>> BucketCounts.of(one, two).union
            tensor([[4., 3., 2.]])
        """
        reached, others = _cumulative(foreground), _cumulative(background)
        above = others[:, -1:] - others
        total = reached[:, -1:].float().clamp(min=_NONE)
        intersection = reached.float().clamp_(min=_NONE)
        return cls(foreground.float(), background.float(), intersection, total + above)

    def jaccard(self) -> tuple[Tensor, Tensor]:
        """Returns the Jaccard loss 1 - I / U of what is above a bucket, and with the bucket too."""
        upper = self.union - self.intersection
        lower = upper + self.foreground + self.background
        return upper / self.union, lower / (self.union + self.background)

    def steps(self) -> tuple[Tensor, Tensor]:
        """Returns the mean step of the Jaccard loss at a foreground and at a background pixel."""
        union = self.union + self.background
        foreground = (1 / self.union + 1 / union) / 2
        return foreground, (self.intersection - self.foreground / 2) / (self.union * union)


def _cumulative(counts: Tensor) -> Tensor:
    """Sums the counts (C, B) int32 of each class up to and with each bucket."""
    # A GPU sums up a single long row much faster.
    return _cumulative_in_one(counts) if counts.is_cuda else counts.cumsum(1, dtype=torch.int32)


def _cumulative_in_one(counts: Tensor) -> Tensor:
    # If a sum of several classes overflows, the differences are still right.
    sums = counts.flatten().cumsum(0, dtype=torch.int32).view_as(counts)
    return sums - (sums[:, :1] - counts[:, :1])


def divide(
    counts: BucketCounts, start: Tensor, width: Tensor, more: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Divides the buckets in whose inner order the gradient is most uncertain.

    That is the step of the Jaccard loss over the bucket, times the slope e (1 - e) of the error
    over the logit, unless the bucket has a single pixel.

    Args:
        counts: Of B buckets per class.
        start: (C, B) float32, the error at which each begins.
        width: (C, B) float32, their widths, which sum up to 1 for each class.
        more: Number of buckets that each class gains.

    Returns:
        The first part of each bucket, numbered over all classes, (C · B + 1,) int32, where the last
        entry is the number of all parts; and starts and widths (C, B + ``more``) of the parts.
    """
    classes, buckets = width.shape
    middle = start + width / 2
    upper, lower = counts.jaccard()
    slope = (middle * (1 - middle)).clamp_(min=0)
    slope.masked_fill_(counts.foreground + counts.background <= 1, 0)
    # Rounding may make the step negative from 2^24 pixels on, which float32 cannot count.
    need = (lower - upper).clamp_(min=0) * (slope + width)
    share = need / need.sum(1, keepdim=True).clamp_(min=torch.finfo(torch.float32).tiny)
    parts = share.mul_(more).int().add_(1)
    parts[:, -1] += buckets + more - parts.sum(1)  # what rounding left over
    parts = parts.flatten()
    first = F.pad(parts.cumsum(0, dtype=torch.int32), (1, 0))
    size = classes * (buckets + more)
    width = width.flatten() / parts
    number = torch.arange(size, dtype=torch.int32, device=first.device)
    bucket = torch.repeat_interleave(parts, output_size=size)  # of each part
    start, width, first_part = (
        values.index_select(0, bucket) for values in (start.flatten(), width, first[:-1])
    )
    # No sum of the widths: of floats, CUDA has none that is deterministic.
    start = start + (number - first_part) * width
    return first, start.view(classes, -1), width.view(classes, -1)
