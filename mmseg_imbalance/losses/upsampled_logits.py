"""Upsampled logits that are never stored."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..ops import pixel_cross_entropy, plain_tensor
from ..ops.pixel_cross_entropy import PixelScores
from ..ops.row_stripes import working_dtype


class UpsampledLogits:
    """Represents bilinearly upsampled logits without storing them.

    Every :class:`PixelWeightingLoss` and :class:`RegionLoss` accepts it instead of logits
    (N, C, H, W). Several pixel losses of one head share the pass over the pixels.

    Args:
        low_resolution: (N, C, h, w), a floating dtype.
        size: H, W, those of the labels.
        align_corners: As in ``F.interpolate``.
        compile: Whether to compile the pass with ``torch.compile``, see
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
        self.low_resolution = plain_tensor(low_resolution)
        self.shape = torch.Size([*low_resolution.shape[:2], *size])
        self.align_corners = bool(align_corners)  # None is False, as in F.interpolate
        self.compile = compile
        self._losses, self._predictions = _Kept(), _Kept()

    def dim(self) -> int:
        """Returns 4."""
        return len(self.shape)

    def detach(self) -> 'UpsampledLogits':
        """The same logits without a gradient."""
        low = self.low_resolution.detach()
        return UpsampledLogits(low, self.shape[2:], self.align_corners, self.compile)

    @property
    def resizing(self) -> bool | None:
        """``align_corners``, or None where the logits have the size already."""
        return None if self.low_resolution.shape == self.shape else self.align_corners

    def resized(self) -> Tensor:
        """Upsamples to (N, C, H, W), for what needs them stored."""
        return F.interpolate(
            self.low_resolution.to(working_dtype(self.low_resolution)),
            size=self.shape[2:],
            mode='bilinear',
            align_corners=self.align_corners,
        )

    def scores(
        self, seg_label: Tensor, ignore_index: int, shift: Tensor | None = None
    ) -> PixelScores:
        """Computes losses and predictions, see :func:`pixel_cross_entropy`.

        Results without a shift are cached for the next call with the same labels. Predictions,
        which a shift does not change, are always cached.
        """
        of_labels = (seg_label, ignore_index)
        if shift is None and self._losses.of(*of_labels):
            return self._losses.kept
        with torch.enable_grad():  # the first caller may need no gradient, but the next one may
            scores = pixel_cross_entropy(
                self.low_resolution,
                *of_labels,
                align_corners=self.resizing,
                shift=shift,
                predict=True,
                compile=self.compile,
            )
        version = _version_of(seg_label)
        if shift is None:
            self._losses = _Kept(scores, *of_labels, version)
        self._predictions = _Kept(scores.pred, *of_labels, version)
        return scores

    def predictions(self, seg_label: Tensor, ignore_index: int) -> Tensor:
        """Returns the predicted classes (N, H, W), cached by an earlier pass if possible."""
        if not self._predictions.of(seg_label, ignore_index):
            self.scores(seg_label, ignore_index)
        return self._predictions.kept


class _Kept(NamedTuple):
    """A cached result, and the labels it is of."""

    kept: PixelScores | Tensor | None = None
    seg_label: Tensor | None = None
    ignore_index: int = 0
    version: int | None = None

    def of(self, seg_label: Tensor, ignore_index: int) -> bool:
        same = self.seg_label is seg_label and self.ignore_index == ignore_index
        return same and self.version is not None and self.version == _version_of(seg_label)


def _version_of(tensor: Tensor) -> int | None:
    """Returns how often a tensor was changed in place; None if unknown, in inference mode."""
    return None if tensor.is_inference() else tensor._version
