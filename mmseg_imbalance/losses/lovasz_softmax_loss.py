"""Lovász-Softmax loss."""

from torch import Tensor

from ..ops import lovasz_softmax
from ..registry import MODELS
from .region_loss import RegionLoss


@MODELS.register_module()
class LovaszSoftmaxLoss(RegionLoss):
    r"""The convex extension of the mean Jaccard loss, 1 - IoU, from predictions to probabilities.

    M. Berman, A. Rannen Triki, M. B. Blaschko, *The Lovász-Softmax loss: A tractable surrogate for
    the optimization of the intersection-over-union measure in neural networks*, CVPR 2018,
    arXiv 1705.08790, equations 11 and 12:

    .. math:: L = \frac{1}{|C|} \sum_{c \in C} \overline{\Delta_{J_c}}(e(c)), \qquad
        e_n(c) = |[y_n = c] - p_n(c)|

    It is a loss of the whole batch, not of single pixels: every class counts the same, however few
    pixels it has. Value and gradient are those of the definition, but there is no sorting, see
    :func:`mmseg_imbalance.ops.lovasz_softmax`. The authors recommend it after, or beside,
    cross-entropy::

        loss_decode=[
            dict(type='CrossEntropyLoss'),
            dict(type='LovaszSoftmaxLoss'),
        ]

    Args:
        loss_name: Key of the loss in the log.
        **kwargs: ``classes``, ``per_image``, ``class_weight``, ``loss_weight``, ``num_classes``,
            ``check_labels`` and ``kernels``, see :class:`RegionLoss`.

    Raises:
        ValueError: For unknown or no classes, and as in :class:`RegionLoss`.

    Example:
        >>> import torch
        >>> loss = LovaszSoftmaxLoss()
        >>> loss(torch.zeros(1, 2, 1, 2), torch.tensor([[[0, 1]]]))
        tensor(0.5000)
    """

    _shown = ('classes', 'per_image')

    def __init__(self, loss_name: str = 'loss_lovasz', **kwargs) -> None:
        super().__init__(loss_name=loss_name, **kwargs)

    def region_loss(
        self, seg_logits: Tensor, seg_label: Tensor, ignore_index: int, align_corners: bool | None
    ) -> Tensor:
        """Computes the loss of some images, see :meth:`RegionLoss.region_loss`."""
        return lovasz_softmax(
            seg_logits, seg_label, ignore_index, self.classes, self.class_weight, align_corners
        )
