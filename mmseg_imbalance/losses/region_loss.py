"""The base of losses of whole regions: classes → loss of an image or the batch → reduction."""

from collections.abc import Sequence
from operator import index

import torch
from torch import Tensor

from ..ops import mean_factors, plain_tensor, working_dtype
from ..ops.kernels import kernels_if
from .segmentation_loss import SegmentationLoss
from .upsampled_logits import UpsampledLogits

_EPS = torch.finfo(torch.float32).eps


class RegionLoss(SegmentationLoss):
    """Base of losses that compare the regions of classes, not single pixels.

    A subclass implements :meth:`region_loss`. This base handles checks, the choice of classes,
    their weights, losses by image and the interface of MMSegmentation's decode heads.

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
        kernels: Whether to use the Triton kernels on a GPU, see :class:`PixelWeightingLoss`. Sums
            over regions have none.

    Raises:
        ValueError: For unknown or no classes, and as in :class:`PixelWeightingLoss`.
    """

    needs_float64 = True

    def __init__(
        self,
        classes: str | Sequence[int] = 'present',
        per_image: bool = False,
        class_weight: Sequence[float] | str | None = None,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_region',
        num_classes: int | None = None,
        check_labels: bool | None = None,
        kernels: bool = True,
    ) -> None:
        super().__init__(class_weight, loss_weight, loss_name, num_classes, check_labels)
        if isinstance(classes, str) and classes not in ('present', 'all'):
            raise ValueError(f"classes must be 'present', 'all' or a list, got {classes!r}")
        self.classes = classes if isinstance(classes, str) else class_list('classes', classes)
        if not self.classes:
            raise ValueError('classes must not be empty')
        if num_classes is not None:
            check_classes('classes', self.classes, num_classes)
        self.per_image = per_image
        self.kernels = kernels

    def region_loss(
        self, seg_logits: Tensor, seg_label: Tensor, ignore_index: int, align_corners: bool | None
    ) -> Tensor:
        """Computes the loss of some images, without ``loss_weight``.

        Args:
            seg_logits: (N, C, H, W), or (N, C, h, w) with ``align_corners``; a floating dtype.
            seg_label: (N, H, W) int64, classes 0 … C - 1 or ``ignore_index``.
            ignore_index: Label of the pixels to leave out.
            align_corners: How to resize the logits to the labels' size, as in ``F.interpolate``.
                None: not at all.

        Returns:
            A scalar, float32 (float64 for float64 logits).
        """
        raise TypeError(f'{type(self).__name__} has to write region_loss')

    def mean_factors(self, present: Tensor) -> Tensor:
        """Returns the factors (C,) float64 with which losses of classes add up to their mean.

        Args:
            present: (C,) bool, whether the labels have pixels of the class.
        """
        return mean_factors(present, self.classes, self.class_weight)

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
            weight: Not defined for these losses: they have no losses of single pixels.
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
                f'{type(self).__name__} has no losses of single pixels that could be weighed: use '
                'it in a head without a pixel sampler'
            )
        reduction = self._checked_reduction(reduction_override)
        if avg_factor is not None and not (self.per_image and reduction == 'mean'):
            raise ValueError('avg_factor needs per_image=True and the mean over the images')
        seg_logits, seg_label = plain_tensor(seg_logits), plain_tensor(seg_label)
        self._check_input(seg_logits, seg_label, None, ignore_index)
        check_classes('classes', self.classes, seg_logits.shape[1])
        logits, align_corners = seg_logits, None
        if isinstance(seg_logits, UpsampledLogits):
            logits, align_corners = seg_logits.low_resolution, seg_logits.resizing
        with kernels_if(self.kernels):
            if not self.per_image:
                loss = self.region_loss(logits, seg_label, ignore_index, align_corners)
                return self.loss_weight * loss
            losses = [
                self.region_loss(image[None], label[None], ignore_index, align_corners)
                for image, label in zip(logits, seg_label, strict=True)
            ]
        losses = torch.stack(losses) if losses else logits.sum((1, 2, 3)).to(working_dtype(logits))
        if reduction == 'none':
            return self.loss_weight * losses
        divisor = max(len(losses), 1) if avg_factor is None else avg_factor + _EPS
        return self.loss_weight * losses.sum() / (1 if reduction == 'sum' else divisor)


def class_list(name: str, classes: Sequence[int]) -> list[int]:
    """Returns the classes of a list in ascending order, each once.

    Raises:
        ValueError: If it is no list of class indices.
    """
    try:
        return sorted({index(c) for c in classes})
    except TypeError as error:
        raise ValueError(f'{name} must be a list of class indices, got {classes!r}') from error


def check_classes(name: str, classes: str | Sequence[int] | None, num_classes: int) -> None:
    """Checks that the classes of a list are among 0 … ``num_classes`` - 1.

    Raises:
        ValueError: If not.
    """
    listed = [] if classes is None or isinstance(classes, str) else classes
    wrong = [c for c in listed if not 0 <= c < num_classes]
    if wrong:
        raise ValueError(f'{name} has {wrong[0]}, but classes are 0 … {num_classes - 1}')
