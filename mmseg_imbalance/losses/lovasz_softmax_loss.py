"""Lovász-Softmax loss."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..ops import lovasz_softmax
from ..registry import MODELS
from .segmentation_loss import SegmentationLoss
from .upsampled_logits import UpsampledLogits

_EPS = torch.finfo(torch.float32).eps


@MODELS.register_module()
class LovaszSoftmaxLoss(SegmentationLoss):
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
        classes: Which classes to take the mean over: ``'present'`` for those in the labels (of the
            batch, or of each image), ``'all'``, or a list of classes.
        per_image: Whether to take the mean over the losses of the images instead of the loss of the
            batch. An image without a valid pixel has the loss 0.
        class_weight: One factor ≥ 0 per class, which multiplies the loss of the class and does not
            enter the divisor; otherwise as in :class:`PixelWeightingLoss`.
        loss_weight: Factor of the whole loss.
        loss_name: Key of the loss in the log.
        num_classes: Number of classes, to be checked against the logits.
        check_labels: Whether to check the values of the labels; None: only on a CPU.

    Raises:
        ValueError: For unknown or no classes, and as in :class:`PixelWeightingLoss`.

    Example:
        >>> loss = LovaszSoftmaxLoss()
        >>> loss(torch.zeros(1, 2, 1, 2), torch.tensor([[[0, 1]]]))
        tensor(0.5000)
    """

    def __init__(
        self,
        classes: str | Sequence[int] = 'present',
        per_image: bool = False,
        class_weight: Sequence[float] | str | None = None,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_lovasz',
        num_classes: int | None = None,
        check_labels: bool | None = None,
    ) -> None:
        super().__init__(class_weight, loss_weight, loss_name, num_classes, check_labels)
        if isinstance(classes, str) and classes not in ('present', 'all'):
            raise ValueError(f"classes must be 'present', 'all' or a list, got {classes!r}")
        self.classes = classes if isinstance(classes, str) else sorted(set(classes))
        if not self.classes:
            raise ValueError('classes must not be empty')
        if num_classes is not None:
            self._check_classes(num_classes)
        self.per_image = per_image

    def forward(
        self,
        seg_logits: Tensor | UpsampledLogits,
        seg_label: Tensor,
        weight: None = None,
        avg_factor: float | None = None,
        reduction_override: str | None = None,
        ignore_index: int = 255,
    ) -> Tensor:
        """Computes the loss with the arguments of MMSegmentation's decode heads.

        Args:
            seg_logits: (N, C, H, W), any floating dtype; or ``UpsampledLogits``.
            seg_label: (N, H, W) int64, classes 0 … C - 1 or ``ignore_index``.
            weight: Not defined for this loss: it has no losses of single pixels.
            avg_factor: Divides the sum of the images' losses instead of N; only for the mean, and
                with ``per_image``.
            reduction_override: ``'mean'`` (the default) or ``'sum'`` of the losses of the images,
                or ``'none'`` for each of them; without ``per_image`` the batch has one loss,
                whichever it is.
            ignore_index: Label of the pixels to leave out.

        Returns:
            A scalar, or (N,) for ``'none'`` with ``per_image``; float32 (float64 for float64
            logits). 0 with a zero gradient if no pixel is valid.

        Raises:
            TypeError: If the labels are not int64.
            ValueError: For weights of pixels, shapes that do not fit, one channel, an unknown
                reduction, ``avg_factor`` where there is no mean, or labels out of range.
        """
        if weight is not None:
            raise ValueError(
                'LovaszSoftmaxLoss has no losses of single pixels that could be weighed: use it '
                'in a head without a pixel sampler'
            )
        reduction = reduction_override or 'mean'
        if reduction not in ('none', 'mean', 'sum'):
            raise ValueError(
                f"reduction_override must be 'none', 'mean' or 'sum', got {reduction!r}"
            )
        if avg_factor is not None and not (self.per_image and reduction == 'mean'):
            raise ValueError('avg_factor needs per_image=True and the mean over the images')
        self._check_input(seg_logits, seg_label, None, ignore_index)
        self._check_classes(seg_logits.shape[1])
        resizes = isinstance(seg_logits, UpsampledLogits)
        align_corners = seg_logits.align_corners if resizes else None
        logits = seg_logits.low_resolution if resizes else seg_logits
        if not self.per_image:
            return self.loss_weight * self._loss(logits, seg_label, ignore_index, align_corners)
        losses = [
            self._loss(image[None], label[None], ignore_index, align_corners)
            for image, label in zip(logits, seg_label, strict=True)
        ]
        losses = torch.stack(losses) if losses else logits.sum((1, 2, 3)).float()
        if reduction == 'none':
            return self.loss_weight * losses
        divisor = max(len(losses), 1) if avg_factor is None else avg_factor + _EPS
        return self.loss_weight * losses.sum() / (1 if reduction == 'sum' else divisor)

    def _loss(
        self, logits: Tensor, label: Tensor, ignore_index: int, align_corners: bool | None
    ) -> Tensor:
        return lovasz_softmax(
            logits, label, ignore_index, self.classes, self.class_weight, align_corners
        )

    def _check_classes(self, num_classes: int) -> None:
        wrong = [] if isinstance(self.classes, str) else self.classes
        wrong = [c for c in wrong if not 0 <= c < num_classes]
        if wrong:
            raise ValueError(f'classes has {wrong[0]}, but classes are 0 … {num_classes - 1}')

    def extra_repr(self) -> str:
        """Describes the loss in a printed model."""
        return f'classes={self.classes!r}, per_image={self.per_image}'
