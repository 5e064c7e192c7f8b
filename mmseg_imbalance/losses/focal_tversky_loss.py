"""Focal Tversky loss."""

import math

from torch import Tensor

from ..ops import region_sums, tversky_losses, working_dtype
from ..registry import MODELS
from .region_loss import RegionLoss


@MODELS.register_module()
class FocalTverskyLoss(RegionLoss):
    r"""The overlap of each class's region, whose missed pixels count more than its false ones.

    N. Abraham, N. M. Khan, *A Novel Focal Tversky Loss Function with Improved Attention U-Net for
    Lesion Segmentation*, ISBI 2019, arXiv 1810.07842. Its Tversky index is that of S. S. M. Salehi,
    D. Erdogmus, A. Gholipour, *Tversky Loss Function for Image Segmentation Using 3D Fully
    Convolutional Deep Networks*, MLMI 2017, arXiv 1706.05721. Of the soft-max p, over the valid
    pixels n with labels y,

    .. math:: L = \frac{1}{|C|} \sum_{c \in C} (1 - TI_c)^\gamma, \qquad
        TI_c = \frac{TP_c + s}{TP_c + \alpha FN_c + \beta FP_c + s}

    with TP the sum of p_n(c) where y_n = c, FN that of 1 - p_n(c) there, and FP that of p_n(c)
    elsewhere. Where the paper has a sum over the classes, this is their mean. The exponent is gamma
    itself; equation 4 of the paper writes it 1 / gamma, and recommends 4 / 3 for it, which is the
    default here. Salehi et al. write alpha for FP and beta for FN.

    Args:
        alpha: Factor ≥ 0 of missed pixels, FN.
        beta: Factor ≥ 0 of false pixels, FP. 1/2 and 1/2 give the Dice score, 1 and 1 the IoU.
        gamma: Exponent > 0; 1 gives the Tversky loss. Below 1, classes that are nearly right keep
            more of their gradient, above 1, less.
        smooth: Number of pixels ≥ 0 that each class is given beforehand, 1 in the authors' code. It
            gives classes without a pixel a gradient, with ``classes='all'``.
        loss_name: Key of the loss in the log.
        **kwargs: ``classes``, ``per_image``, ``class_weight``, ``loss_weight``, ``num_classes``,
            ``check_labels`` and ``kernels``, see :class:`RegionLoss`.

    Raises:
        ValueError: For alpha, beta or smooth < 0 or gamma ≤ 0, or if one is not finite.

    Example:
        >>> import torch
        >>> loss = FocalTverskyLoss(alpha=0.5, beta=0.5, gamma=1, smooth=0)
        >>> loss(torch.zeros(1, 2, 1, 2), torch.tensor([[[0, 1]]]))  # 1 - Dice
        tensor(0.5000)
    """

    _shown = ('alpha', 'beta', 'gamma', 'smooth')

    def __init__(
        self,
        alpha: float = 0.7,
        beta: float = 0.3,
        gamma: float = 0.75,
        smooth: float = 1.0,
        loss_name: str = 'loss_focal_tversky',
        **kwargs,
    ) -> None:
        super().__init__(loss_name=loss_name, **kwargs)
        for name, value in dict(alpha=alpha, beta=beta, smooth=smooth).items():
            if not 0 <= value < math.inf:
                raise ValueError(f'{name} must be finite and ≥ 0, got {value}')
        if not 0 < gamma < math.inf:
            raise ValueError(f'gamma must be finite and > 0, got {gamma}')
        self.alpha, self.beta, self.gamma, self.smooth = alpha, beta, gamma, smooth

    def region_loss(
        self, seg_logits: Tensor, seg_label: Tensor, ignore_index: int, align_corners: bool | None
    ) -> Tensor:
        """Computes the loss of some images, see :meth:`RegionLoss.region_loss`."""
        sums = region_sums(seg_logits, seg_label, ignore_index, align_corners)
        losses = tversky_losses(sums, self.alpha, self.beta, self.gamma, self.smooth)
        factor = self.mean_factors(sums.pixels > 0)
        return (losses * factor).sum().to(working_dtype(seg_logits))
