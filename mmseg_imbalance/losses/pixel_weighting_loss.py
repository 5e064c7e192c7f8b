"""The base of losses of single pixels: pixel loss → weights without a gradient → reduction."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..ops import per_pixel, pixel_cross_entropy, plain_tensor, safe_divisor
from ..ops.kernels import kernels_apply, kernels_if
from ..ops.pixel_cross_entropy import PixelScores
from .segmentation_loss import SegmentationLoss
from .upsampled_logits import UpsampledLogits

_EPS = torch.finfo(torch.float32).eps


class WeighedPixels(NamedTuple):
    """Losses and weights of one batch before the reduction.

    Attributes:
        scores: Result of :meth:`PixelWeightingLoss.score`.
        factor: (N, H, W), the weights of classes and of a pixel sampler, 0 where ignored; None
            for 1.
        pixel_loss: (N, H, W), the losses of ``scores`` times ``factor``.
        weighing: (N, H, W), weights from :meth:`PixelWeightingLoss.weigh`.
        divisor: (G,), divisors from ``weigh``, ≥ 0.
    """

    scores: PixelScores
    factor: Tensor | None
    pixel_loss: Tensor
    weighing: Tensor
    divisor: Tensor


class PixelWeightingLoss(SegmentationLoss):
    """Base of losses that weigh the pixel losses by constants that depend on the batch.

    A subclass overrides :meth:`weigh`, :meth:`score` or both. This base handles checks, precision,
    class and pixel weights, reductions and the interface of MMSegmentation's decode heads.
    Half-precision logits are processed in float32.

    Args:
        class_weight: One factor ≥ 0 per class, which multiplies the pixel loss before the
            weighting, or a ``.npy``, ``.json`` or ``.yaml`` file with such a list. Or the name of a
            method of :func:`mmseg_imbalance.statistics.class_weights`, such as
            ``'median_frequency'``: it uses the statistics of the training data, which
            ``custom_hooks = [dict(type='ClassStatisticsHook')]`` provides. None: 1 for all.
        loss_weight: Factor of the whole loss.
        loss_name: Key of the loss in the log; the head adds up losses of the same name, and only
            losses with ``loss`` in their name are trained.
        num_classes: Number of classes, to be checked against the logits. None: taken from the
            logits.
        compile: Whether to compile the pass over the logits with ``torch.compile``, in the first
            step. On a CPU this is faster, but slower to start. It needs a C++ compiler. On a GPU it
            replaces the kernels, which are faster. ``UpsampledLogits`` have an option of their own.
        check_labels: Whether to report labels that are neither a class nor ignored. True: always.
            False: never. None: only on a CPU, since the check costs a synchronisation per step on a
            GPU. Without it, such a label ends there in CUDA's unspecific device-side assert or,
            with the kernels, in a loss that is not a number. Compiled code never checks.
        kernels: Whether the package's Triton kernels compute the loss on an NVIDIA GPU, if Triton
            is installed. The environment variable ``MMSEG_IMBALANCE_KERNELS=0`` turns them off for
            all losses.

    Attributes:
        needs_predictions: Class attribute, whether :meth:`weigh` uses the predicted classes, which
            take time to compute.

    Raises:
        ValueError: For class weights that cannot be read, are negative or not finite; for a
            ``loss_name`` without ``loss`` or one class.
    """

    needs_predictions = False

    def __init__(
        self,
        class_weight: Sequence[float] | str | None = None,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_pixel_weighting',
        num_classes: int | None = None,
        check_labels: bool | None = None,
        compile: bool = False,
        kernels: bool = True,
    ) -> None:
        super().__init__(class_weight, loss_weight, loss_name, num_classes, check_labels)
        self.compile_logits = compile  # nn.Module has a method `compile`
        self.kernels = kernels
        # Whether the losses of single pixels are requested, as OHEM does before it requests the
        # loss itself. Running values of a weighting must not change then.
        self.probing = False

    @property
    def weighs_pixels(self) -> bool:
        """Whether weights can differ between pixels; otherwise there is nothing to show."""
        own = type(self).weigh is not PixelWeightingLoss.weigh
        return own or self.class_weight is not None

    def score(
        self,
        seg_logits: Tensor | UpsampledLogits,
        seg_label: Tensor,
        ignore_index: int,
        shift: Tensor | None = None,
    ) -> PixelScores:
        """Computes loss and prediction of every pixel, here soft-max cross-entropy.

        Args:
            seg_logits: (N, C, H, W), a floating dtype; or :class:`UpsampledLogits`, whose
                ``scores`` an overriding method can use.
            seg_label: (N, H, W) int64.
            ignore_index: Label of the pixels to leave out.
            shift: (C,), added to the logits for the loss only.

        Returns:
            Losses ≥ 0 of (N, H, W), 0 where ignored; predictions if ``needs_predictions``.
        """
        if isinstance(seg_logits, UpsampledLogits):
            return seg_logits.scores(seg_label, ignore_index, shift)
        return pixel_cross_entropy(
            seg_logits,
            seg_label,
            ignore_index,
            shift=shift,
            predict=self.needs_predictions,
            compile=self.compile_logits,
        )

    def weigh(self, scores: PixelScores, seg_label: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Weighs the pixels of a batch, here all valid ones equally; called without gradients.

        Args:
            scores: Result of :meth:`score`: ``loss`` (N, H, W), ≥ 0, here multiplied by class and
                pixel weights, 0 where not valid; ``pred`` (N, H, W) if ``needs_predictions``;
                ``num_classes``.
            seg_label: (N, H, W) int64.
            valid: (N, H, W) bool, False where the label is ignored.

        Returns:
            The weights (N, H, W) and G divisors (G,), ≥ 0. For the mean, the batch is cut into G
            equal groups of images. Each group's sum of weighted losses is divided by its divisor,
            by 1 if this is 0, and the mean over the groups is taken.
        """
        return valid.float(), valid.sum()[None]

    def curves(self, weighing: Tensor, valid: Tensor) -> dict[str, Tensor]:
        """Returns this loss's own numbers for :class:`WeightingCurvesHook`, here none.

        Args:
            weighing: (N, H, W), weights from :meth:`weigh` for a batch.
            valid: (N, H, W) bool, False where the label is ignored.

        Returns:
            Scalars by name.
        """
        return {}

    def forward(
        self,
        seg_logits: Tensor | UpsampledLogits,
        seg_label: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | None = None,
        reduction_override: str | None = None,
        ignore_index: int = 255,
    ) -> Tensor:
        """Computes the loss with the arguments of MMSegmentation's decode heads.

        Args:
            seg_logits: (N, C, H, W), any floating dtype; or ``UpsampledLogits``.
            seg_label: (N, H, W) int64, classes 0 … C - 1 or ``ignore_index``.
            weight: (N, H, W) factors of the pixel loss from a pixel sampler; they do not enter the
                divisor of the mean, as in MMSegmentation's own losses.
            avg_factor: Divides the sum of the weighted pixel losses instead of the loss's own
                divisor; only for the mean.
            reduction_override: ``'mean'`` (the default), ``'sum'`` of the weighted pixel losses, or
                ``'none'`` for each of them.
            ignore_index: Label of the pixels to leave out.

        Returns:
            A scalar, or (N, H, W) for ``'none'``; float32 (float64 for float64 logits). 0 with a
            zero gradient if no pixel is valid.

        Raises:
            TypeError: If the labels are not int64.
            ValueError: For shapes that do not fit, one channel, an unknown reduction,
                ``avg_factor`` without the mean, or labels out of range (see ``check_labels``).
        """
        reduction = self._checked_reduction(reduction_override)
        if avg_factor is not None and reduction != 'mean':
            raise ValueError(f'avg_factor cannot be used with reduction {reduction!r}')
        self.probing = reduction == 'none'
        weighed = self.weighed_pixels(seg_logits, seg_label, weight, ignore_index)
        pixel_loss, divisor = weighed.pixel_loss, weighed.divisor
        if reduction == 'mean' and avg_factor is None and self._in_kernels(pixel_loss):
            return self._mean_in_kernels(pixel_loss, weighed.weighing, divisor)
        weighted = weighed.weighing.to(pixel_loss.dtype) * pixel_loss
        if reduction == 'none':
            return self.loss_weight * weighted
        if reduction == 'sum':
            return self.loss_weight * weighted.sum()
        if avg_factor is not None:
            return self.loss_weight * weighted.sum() / (avg_factor + _EPS)
        groups = len(divisor)
        sums = weighted.reshape(groups, weighted.numel() // max(groups, 1)).sum(1)
        means = sums / safe_divisor(divisor.to(sums.dtype))
        return self.loss_weight * means.sum() / max(groups, 1)

    def weighed_pixels(
        self,
        seg_logits: Tensor | UpsampledLogits,
        seg_label: Tensor,
        weight: Tensor | None = None,
        ignore_index: int = 255,
    ) -> WeighedPixels:
        """Computes losses and weights of a batch's pixels, from arguments as in :meth:`forward`."""
        seg_logits, seg_label = plain_tensor(seg_logits), plain_tensor(seg_label)
        self._check_input(seg_logits, seg_label, weight, ignore_index)
        valid = seg_label != ignore_index
        with kernels_if(self.kernels):
            scores = self.score(seg_logits, seg_label, ignore_index)
            pixel_loss = scores.loss
            if weight is not None:  # it may be anything where ignored
                weight = torch.where(valid, weight, 0.0).to(pixel_loss.dtype)
            factor = self._factor(seg_label, valid, weight)
            if factor is not None:
                pixel_loss = pixel_loss * factor
            with torch.no_grad():
                in_full = PixelScores(pixel_loss.detach(), scores.pred, scores.num_classes)
                weighing, divisor = self.weigh(in_full, seg_label, valid)
        return WeighedPixels(scores, factor, pixel_loss, weighing, divisor)

    def _in_kernels(self, pixel_loss: Tensor) -> bool:
        return self.kernels and kernels_apply(pixel_loss)

    def _mean_in_kernels(self, pixel_loss: Tensor, weight: Tensor, divisor: Tensor) -> Tensor:
        from ..ops.kernels.weighted_mean import weighted_mean

        weight = weight.float().expand_as(pixel_loss)
        loss, weight = (t.reshape(len(divisor), -1).contiguous() for t in (pixel_loss, weight))
        if isinstance(self.loss_weight, Tensor):
            return self.loss_weight * weighted_mean(loss, weight, divisor.contiguous(), 1.0)
        return weighted_mean(loss, weight, divisor.contiguous(), float(self.loss_weight))

    def _factor(self, seg_label: Tensor, valid: Tensor, weight: Tensor | None) -> Tensor | None:
        """Returns class weight times the pixel sampler's weight, None if both are missing."""
        if self.class_weight is None:
            return weight
        factor = self._class_factor(seg_label, valid)
        return factor if weight is None else factor * weight

    def _class_factor(self, seg_label: Tensor, valid: Tensor) -> Tensor:
        """Returns the class weight of every pixel, 0 where not valid."""
        label = torch.where(valid, seg_label, len(self.class_weight))
        return per_pixel(self.class_weight, label)
