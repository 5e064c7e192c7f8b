"""Cross-entropy with more weight near the boundaries between classes."""

import math

import torch.nn.functional as F
from torch import Tensor

from ..ops.pixel_cross_entropy import PixelScores
from ..registry import MODELS
from .pixel_weighting_loss import PixelWeightingLoss


@MODELS.register_module()
class BoundaryWeightedLoss(PixelWeightingLoss):
    r"""Cross-entropy whose pixels weigh more, the closer they are to another class.

    .. math:: w_n = 1 + w_0 \exp\Big(-\frac{d_n^2}{2 \sigma^2}\Big)

    with the distance d of a pixel to the nearest boundary, in pixels. This is equation 2 of O.
    Ronneberger, P. Fischer, T. Brox, *U-Net: Convolutional Networks for Biomedical Image
    Segmentation*, MICCAI 2015, arXiv 1505.04597, for labels without instances: there, d is the sum
    of the distances to the two nearest cells, and the 1 a weight of the class, which is
    ``class_weight`` here. The loss is divided by the sum of the weights, so that it keeps the scale
    of cross-entropy.

    A boundary are two pixels side by side, or one above the other, with different classes; both
    have the distance 0. Distances are Euclidean, and a boundary reaches 3 sigma of rows and columns
    far. Ignored pixels neither have nor make a boundary, so where labels leave out the contours of
    all objects, all pixels weigh the same.

    Args:
        factor: w_0 ≥ 0; a pixel at a boundary weighs 1 + w_0 times as much as one far away.
        sigma: Width > 0 of the band, in pixels of the label map.
        loss_name: Key of the loss in the log.
        **kwargs: ``class_weight``, ``loss_weight``, ``num_classes``, ``check_labels``, ``compile``
            and ``kernels``, see :class:`PixelWeightingLoss`.

    Raises:
        ValueError: For a factor < 0 or sigma ≤ 0, or if one is not finite.

    Example:
        >>> import torch
        >>> loss = BoundaryWeightedLoss(factor=1, sigma=1)
        >>> label = torch.tensor([[[0, 0, 0, 1, 1]]])
        >>> loss.weigh(PixelScores(torch.zeros(1, 1, 5), None, 2), label, label != 255)[0]
        tensor([[[1.1353, 1.6065, 2.0000, 2.0000, 1.6065]]])
    """

    _shown = ('factor', 'sigma')

    def __init__(
        self,
        factor: float = 10.0,
        sigma: float = 5.0,
        loss_name: str = 'loss_boundary',
        **kwargs,
    ) -> None:
        super().__init__(loss_name=loss_name, **kwargs)
        if not 0 <= factor < math.inf:
            raise ValueError(f'factor must be finite and ≥ 0, got {factor}')
        if not 0 < sigma < math.inf:
            raise ValueError(f'sigma must be finite and > 0, got {sigma}')
        self.factor, self.sigma = factor, sigma

    def weigh(self, scores: PixelScores, seg_label: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the weight w of every valid pixel, and the sum of the weights."""
        near = _boundary(seg_label, valid).to(scores.loss.dtype)
        # The Gaussian of a Euclidean distance is one of the rows times one of the columns.
        for _ in ('columns', 'rows'):
            near = _spread(near.transpose(1, 2), self.sigma)
        weight = valid * (1 + self.factor * near)
        return weight, weight.sum()[None]


def _boundary(label: Tensor, valid: Tensor) -> Tensor:
    """Returns whether a valid neighbour of each valid pixel has another class, (N, H, W) bool."""
    down = (label[:, 1:] != label[:, :-1]) & valid[:, 1:] & valid[:, :-1]
    right = (label[..., 1:] != label[..., :-1]) & valid[..., 1:] & valid[..., :-1]
    above = F.pad(down, (0, 0, 0, 1)) | F.pad(down, (0, 0, 1, 0))
    return above | F.pad(right, (0, 1)) | F.pad(right, (1, 0))


def _spread(near: Tensor, sigma: float) -> Tensor:
    """Returns the largest near · exp(-d² / (2 sigma²)) over the distances d along the last axis."""
    spread = near.clone()
    for d in range(1, min(math.ceil(3 * sigma) + 1, near.shape[-1])):
        fading = math.exp(-(d**2) / (2 * sigma**2)) * near
        spread[..., d:].clamp_(min=fading[..., :-d])
        spread[..., :-d].clamp_(min=fading[..., d:])
    return spread
