"""Unified focal loss."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..ops import class_mask, per_pixel, pixel_cross_entropy, region_sums, tversky_losses
from ..registry import MODELS
from .region_loss import RegionLoss, check_classes, class_list


@MODELS.register_module()
class UnifiedFocalLoss(RegionLoss):
    r"""A focal loss of the pixels and a focal Tversky loss of the regions, with one gamma for both.

    M. Yeung, E. Sala, C.-B. Schönlieb, L. Rundo, *Unified Focal Loss: Generalising Dice and Cross
    Entropy-Based Losses to Handle Class Imbalanced Medical Image Segmentation*, Computerized
    Medical Imaging and Graphics 95, 2022, arXiv 2102.04525. With the soft-max p of the N valid
    pixels n, their labels y, and mTI, the Tversky index with the factors delta for FN and 1 - delta
    for FP,

    .. math:: L = \lambda \frac{\delta}{N} \sum_n -(1 - p_n(y_n))^{1-\gamma} \log p_n(y_n)
        + (1 - \lambda) \frac{1}{|C|} \sum_{c \in C} (1 - mTI_c)^\gamma

    is the symmetric form. The asymmetric form does not fade the pixels of rare classes r, and does
    not sharpen the regions of others:

    .. math:: L = \frac{\lambda}{N} \Big(\sum_{y_n \in r} -\delta \log p_n(y_n)
        + \sum_{y_n \notin r} -(1 - \delta) (1 - p_n(y_n))^\gamma \log p_n(y_n)\Big)
        + \frac{1 - \lambda}{|C|} \Big(\sum_{c \in r} (1 - mTI_c)^{1-\gamma}
        + \sum_{c \notin r} (1 - mTI_c)\Big)

    The paper has a sum over the classes of the Tversky loss, of two or three. The mean, as in the
    authors' code, keeps the two parts in proportion with any number of classes. That code, for two
    classes, takes the Tversky loss of each image, see ``per_image``, and differs from the paper:
    lambda is the share of the Tversky loss, and in the symmetric form gamma and 1 - gamma change
    places, and pixels of the background have the factor 1 - delta. Of these, only the last matters
    with the defaults.

    Args:
        balance: Lambda in [0, 1], the share of the focal loss of the pixels.
        delta: In [0, 1]; above 1/2, missed pixels of a class, and in the asymmetric form rare
            classes, count more.
        gamma: In (0, 1], in the asymmetric form in [0, 1): how much both parts look at what is
            difficult, see the equations. Below 1e-7, powers below 1 are continued by a line.
        rare: A list of the rare classes, for the asymmetric form. None: the symmetric form.
        loss_name: Key of the loss in the log.
        **kwargs: ``classes`` (of the Tversky loss), ``per_image``, ``class_weight`` (of both
            parts), ``loss_weight``, ``num_classes``, ``check_labels`` and ``kernels``, see
            :class:`RegionLoss`.

    Raises:
        ValueError: For balance, delta or gamma outside [0, 1], or rare classes that do not exist.

    Example:
        >>> loss = UnifiedFocalLoss(balance=0.5, delta=0.5, gamma=1)
        >>> loss(torch.zeros(1, 2, 1, 2), torch.tensor([[[0, 1]]]))  # (log(2) / 2 + 1 / 2) / 2
        tensor(0.4233)
    """

    _shown = ('balance', 'delta', 'gamma', 'rare')

    def __init__(
        self,
        balance: float = 0.5,
        delta: float = 0.6,
        gamma: float = 0.5,
        rare: Sequence[int] | None = None,
        loss_name: str = 'loss_unified_focal',
        **kwargs,
    ) -> None:
        super().__init__(loss_name=loss_name, **kwargs)
        for name, value in dict(balance=balance, delta=delta, gamma=gamma).items():
            if not 0 <= value <= 1:
                raise ValueError(f'{name} must be in [0, 1], got {value}')
        if gamma == (0 if rare is None else 1):
            raise ValueError(
                f'gamma={gamma} gives the Tversky loss of {"all" if rare is None else "rare"} '
                'classes the exponent 0, so that it has no gradient'
            )
        self.balance, self.delta, self.gamma = balance, delta, gamma
        self.rare = None if rare is None else class_list('rare', rare)
        if self.num_classes is not None:
            check_classes('rare', self.rare, self.num_classes)

    def region_loss(
        self, seg_logits: Tensor, seg_label: Tensor, ignore_index: int, align_corners: bool | None
    ) -> Tensor:
        """Computes the loss of some images, see :meth:`RegionLoss.region_loss`."""
        sums = region_sums(seg_logits, seg_label, ignore_index, align_corners)
        *of_pixels, of_region = self._of_classes(sums.pixels)
        losses = tversky_losses(sums, self.delta, 1 - self.delta, of_region)
        tversky = (losses * self.mean_factors(sums.pixels > 0)).sum()

        label = torch.where(seg_label == ignore_index, seg_logits.shape[1], seg_label)
        pixels = pixel_cross_entropy(seg_logits, seg_label, ignore_index, align_corners).loss
        # As in SoftmaxFocalLoss: the power's gradient is infinite at 0.
        missing = (-torch.expm1(-pixels)).clamp(min=1e-7)
        factor, exponent = (per_pixel(x.to(pixels.dtype), label) for x in of_pixels)
        focal = (factor * missing**exponent * pixels).sum() / sums.pixels.sum().clamp(min=1)
        return (self.balance * focal + (1 - self.balance) * tversky).to(pixels.dtype)

    def _of_classes(self, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns factor and exponent of each class's pixels, exponent of its Tversky loss."""
        check_classes('rare', self.rare, len(like))
        one = torch.ones_like(like)
        if self.rare is None:
            factor, exponent, of_region = self.delta * one, (1 - self.gamma) * one, self.gamma * one
        else:
            rare = class_mask(self.rare, like)
            factor = torch.where(rare, self.delta * one, 1 - self.delta)
            exponent = torch.where(rare, 0 * one, self.gamma)
            of_region = torch.where(rare, (1 - self.gamma) * one, 1.0)
        if self.class_weight is not None:
            factor = factor * self.class_weight
        return factor, exponent, of_region
