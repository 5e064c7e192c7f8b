"""Class-weighted cross-entropy."""

from torch import Tensor

from ..ops.pixel_cross_entropy import PixelScores
from ..registry import MODELS
from .pixel_weighting_loss import PixelWeightingLoss

_NORMALIZERS = ('weight', 'valid')


@MODELS.register_module()
class WeightedCrossEntropyLoss(PixelWeightingLoss):
    r"""Soft-max cross-entropy with a fixed weight per class, usually from the class frequencies.

    .. math:: L = -\frac{1}{Z} \sum_n w_{y_n} \log p_n(y_n)

    over the valid pixels n. It is the baseline of losses against class imbalance, in segmentation
    since D. Eigen, R. Fergus, *Predicting Depth, Surface Normals and Semantic Labels with a Common
    Multi-Scale Convolutional Architecture*, ICCV 2015, arXiv 1411.4734, with the weights
    ``'median_frequency'``::

        custom_imports = dict(imports=['mmseg_imbalance'])
        loss = dict(
            _delete_=True, type='WeightedCrossEntropyLoss', class_weight='median_frequency')
        model = dict(decode_head=dict(loss_decode=loss))
        custom_hooks = [dict(type='ClassStatisticsHook')]

    Args:
        class_weight: One weight ≥ 0 per class, a file with such a list, or the name of a method,
            see :class:`PixelWeightingLoss`. None: 1 for all, which is plain cross-entropy.
        normalizer: The divisor Z. ``'weight'``: the sum of the class weights over the valid pixels,
            as in PyTorch's ``cross_entropy(weight=…)``; a common factor of the weights then cancels
            out. ``'valid'``: the number of valid pixels; a batch of rare classes then has a larger
            loss than one of frequent classes. Weights of a pixel sampler do not enter Z.
        **kwargs: ``loss_weight``, ``loss_name`` (``'loss_ce'``), ``num_classes``,
            ``check_labels``, ``compile`` and ``kernels``, see :class:`PixelWeightingLoss`.

    Raises:
        ValueError: If normalizer is unknown.

    Example:
        >>> import torch
        >>> loss = WeightedCrossEntropyLoss(class_weight=[1, 3])
        >>> logits = torch.tensor([0.0, 2.0, 0.0, 0.0]).view(1, 2, 1, 2)
        >>> loss(logits, torch.tensor([[[0, 1]]]))  # (log 2 + 3 · 2.1269) / (1 + 3)
        tensor(1.7685)
    """

    _shown = ('normalizer',)

    def __init__(
        self,
        class_weight=None,
        normalizer: str = 'weight',
        loss_name: str = 'loss_ce',
        **kwargs,
    ) -> None:
        super().__init__(class_weight, loss_name=loss_name, **kwargs)
        if normalizer not in _NORMALIZERS:
            raise ValueError(f'normalizer must be one of {_NORMALIZERS}, got {normalizer!r}')
        self.normalizer = normalizer

    @property
    def weighs_pixels(self) -> bool:
        """Whether there are class weights."""
        return self.class_weight is not None

    def weigh(self, scores: PixelScores, seg_label: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the class weight of every valid pixel, and the divisor Z."""
        if self.class_weight is None:
            return super().weigh(scores, seg_label, valid)
        weight = self._class_factor(seg_label, valid)
        total = weight.sum() if self.normalizer == 'weight' else valid.sum()
        return weight, total[None]

    def _factor(self, seg_label: Tensor, valid: Tensor, weight: Tensor | None) -> Tensor | None:
        """Returns the pixel sampler's weight alone, since ``weigh`` has the class weights."""
        return weight
