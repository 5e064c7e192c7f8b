"""Focal loss over the soft-max."""

import torch
from torch import Tensor

from ..ops.pixel_cross_entropy import PixelScores
from ..registry import MODELS
from .pixel_weighting_loss import PixelWeightingLoss
from .upsampled_logits import UpsampledLogits


@MODELS.register_module()
class SoftmaxFocalLoss(PixelWeightingLoss):
    r"""Cross-entropy that fades where the true class is already likely, one loss per pixel.

    T.-Y. Lin, P. Goyal, R. Girshick, K. He, P. Dollár, *Focal Loss for Dense Object Detection*,
    ICCV 2017, arXiv 1708.02002, equation 4, with the probability of the soft-max over all classes:

    .. math:: \ell = -(1 - p(y))^\gamma \log p(y)

    The mean is taken over the valid pixels. MMSegmentation's own ``FocalLoss`` is the sigmoid form
    with one loss per pixel and class; this loss can be ``pixel_loss`` of :class:`LossMaxPooling`.

    Args:
        gamma: Exponent ≥ 0; 0 gives cross-entropy.
        **kwargs: ``class_weight``, ``loss_weight``, ``loss_name`` (``'loss_focal'``),
            ``num_classes``, ``check_labels``, ``compile`` and ``kernels``, see
            :class:`PixelWeightingLoss`.

    Raises:
        ValueError: If gamma < 0.

    Example:
        >>> loss = SoftmaxFocalLoss(gamma=2)
        >>> loss(torch.zeros(1, 2, 1, 1), torch.zeros(1, 1, 1, dtype=torch.int64))  # log(2) / 4
        tensor(0.1733)
    """

    _shown = ('gamma',)

    def __init__(self, gamma: float = 2.0, loss_name: str = 'loss_focal', **kwargs) -> None:
        super().__init__(loss_name=loss_name, **kwargs)
        if not 0 <= gamma < float('inf'):
            raise ValueError(f'gamma must be a number ≥ 0, got {gamma}')
        self.gamma = gamma

    def score(
        self, seg_logits: Tensor | UpsampledLogits, seg_label: Tensor, ignore_index: int
    ) -> PixelScores:
        """Computes the focal loss of every pixel, see :meth:`PixelWeightingLoss.score`."""
        scores = super().score(seg_logits, seg_label, ignore_index, shift=None)
        cross_entropy, pred, num_classes = scores
        # The power's gradient is infinite at 0 for gamma < 1; no float32 loss shows the clamp.
        missing = -torch.expm1(-cross_entropy)
        loss = missing.clamp(min=1e-7) ** self.gamma * cross_entropy
        return PixelScores(loss, pred, num_classes)
