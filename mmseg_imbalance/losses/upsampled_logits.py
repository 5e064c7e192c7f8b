"""Logits of label size that are never made."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..ops import PixelScores, pixel_cross_entropy


class UpsampledLogits:
    """Stands for what bilinear upsampling makes of logits, without holding it.

    Every :class:`PixelWeightingLoss` takes it instead of logits (N, C, H, W); several losses of
    one head share the pass over the pixels.

    Args:
        low_resolution: (N, C, h, w), a floating dtype.
        size: H, W, those of the labels.
        align_corners: As in ``F.interpolate``.
        compile: Whether ``torch.compile`` makes the code of the pass, see
            :func:`pixel_cross_entropy`.

    Attributes:
        shape: (N, C, H, W).

    Example:
        >>> logits = UpsampledLogits(torch.zeros(1, 2, 4, 4), size=(8, 8), align_corners=False)
        >>> logits.scores(torch.zeros(1, 8, 8, dtype=torch.int64), ignore_index=255).loss.shape
        torch.Size([1, 8, 8])
        >>> logits.resized().shape
        torch.Size([1, 2, 8, 8])
    """

    def __init__(
        self,
        low_resolution: Tensor,
        size: tuple[int, int],
        align_corners: bool,
        compile: bool = False,
    ) -> None:
        self.low_resolution = low_resolution
        self.shape = torch.Size([*low_resolution.shape[:2], *size])
        self.align_corners = align_corners
        self.compile = compile
        self._scores: tuple[Tensor, int, PixelScores] | None = None

    def dim(self) -> int:
        """4."""
        return len(self.shape)

    def detach(self) -> 'UpsampledLogits':
        """The same without a gradient."""
        low = self.low_resolution.detach()
        return UpsampledLogits(low, self.shape[2:], self.align_corners, self.compile)

    def resized(self) -> Tensor:
        """The logits (N, C, H, W) themselves: for looking at them, not for training steps."""
        return F.interpolate(
            self.low_resolution.float(),
            size=self.shape[2:],
            mode='bilinear',
            align_corners=self.align_corners,
        )

    def scores(
        self, seg_label: Tensor, ignore_index: int, shift: Tensor | None = None
    ) -> PixelScores:
        """Losses and predictions of the pixels, see :func:`pixel_cross_entropy`.

        Those without a shift are kept for the next call with the same labels.
        """
        if shift is None and self._scores is not None:
            label, index, scores = self._scores
            if label is seg_label and index == ignore_index:
                return scores
        scores = pixel_cross_entropy(
            self.low_resolution,
            seg_label,
            ignore_index,
            align_corners=self.align_corners,
            shift=shift,
            predict=True,
            compile=self.compile,
        )
        if shift is None:
            self._scores = seg_label, ignore_index, scores
        return scores
