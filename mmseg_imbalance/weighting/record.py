"""Records how a loss weighs single batches, for hooks and tools."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..losses.class_count_loss import ClassCountLoss
from ..losses.pixel_weighting_loss import PixelWeightingLoss
from ..losses.upsampled_logits import UpsampledLogits
from ..ops import safe_divisor
from ..ops.weight_support import class_mean, weight_support
from ..utils.predicted_classes import predicted_classes


class PixelWeighting(NamedTuple):
    """One batch's losses and weights, for curves and pictures, without gradients.

    Attributes:
        pred: (N, H, W), the predicted classes, in an integer dtype.
        num_classes: C, of the logits.
        seg_label: (N, H, W) int64.
        valid: (N, H, W) bool, False where the label is ignored.
        pixel_loss: (N, H, W), unweighted, 0 where not valid.
        weighing: (N, H, W), weights from :meth:`PixelWeightingLoss.weigh`.
        weight: (N, H, W), the total factor of the pixel losses: ``weighing``, and the weights of
            classes and of a pixel sampler; 0 where not valid.
        divisor: (G,), divisors of the losses' sums over G equal groups of images, for the mean.
    """

    pred: Tensor
    num_classes: int
    seg_label: Tensor
    valid: Tensor
    pixel_loss: Tensor
    weighing: Tensor
    weight: Tensor
    divisor: Tensor

    def relative_weight(self) -> Tensor:
        """Returns the weights (N, H, W) in units of a pixel's weight in each group's mean."""
        groups = len(self.divisor)
        pixels = self.valid.reshape(groups, -1).sum(1)
        share = pixels / safe_divisor(self.divisor.to(self.weight.dtype))
        relative = self.weight.reshape(groups, -1) * share[:, None]
        return relative.view_as(self.weight)


class WeightingRecorder:
    """Records a loss's inputs in chosen iterations, and weighs them again.

    Several recorders may share one loss. They do not change the training. Of several calls in an
    iteration the last one counts; OHEM's probing of single pixels does not.

    Args:
        module: The loss, called as by MMSegmentation's heads; ``torch.compile`` may wrap it.
        stand_in: Another loss, whose weighting is shown if ``module`` does not weigh pixels.
        threshold: Probability above which logits (N, 1, H, W) predict the second class.
    """

    def __init__(
        self,
        module: nn.Module,
        stand_in: PixelWeightingLoss | None = None,
        threshold: float = 0.5,
    ) -> None:
        self.threshold = threshold
        self.loss = not_compiled(module) if stand_in is None else stand_in
        self._listening = False
        self._call: tuple | None = None
        # Registered once: a compiled loss keeps the hooks that it was compiled with.
        self._handle = module.register_forward_hook(self._keep, with_kwargs=True)

    def start(self) -> None:
        """Starts recording; called before a chosen iteration."""
        self._listening, self._call = True, None

    def take(self) -> PixelWeighting | None:
        """Returns the weighting since :meth:`start`, or None if the loss was not called.

        Every process has to call it, since a loss may sum over them.

        Raises:
            ValueError: If the loss's arguments were not logits (N, C, H, W), labels (N, H, W).
        """
        self._listening, call, self._call = False, self._call, None
        if call is None:
            return None
        seg_logits, seg_label, weight, ignore_index = call
        loss = self.loss.to(seg_label.device)
        return weigh(loss, seg_logits, seg_label, ignore_index, weight, self.threshold)

    def close(self) -> None:
        """Removes the recorder from the loss, for good."""
        self._handle.remove()

    def _keep(self, module: nn.Module, args: tuple, kwargs: dict, output) -> None:
        if self._listening and kwargs.get('reduction_override') != 'none' and len(args) > 1:
            weight = args[2] if len(args) > 2 else kwargs.get('weight')
            self._call = args[0].detach(), args[1], weight, kwargs.get('ignore_index', 255)


def weigh(
    loss: PixelWeightingLoss,
    seg_logits: Tensor | UpsampledLogits,
    seg_label: Tensor,
    ignore_index: int = 255,
    weight: Tensor | None = None,
    threshold: float = 0.5,
) -> PixelWeighting:
    """Weighs a batch of logits (N, C, H, W) and labels (N, H, W).

    Logits (N, 1, H, W) are treated as sigmoid logits of two classes, of which the second is
    predicted where its probability is above ``threshold``. A loss's running values of past batches
    are used, but not changed. In a distributed run, every process has to call this, since a loss
    may sum over them.
    """
    pred = None
    if isinstance(seg_logits, Tensor) and seg_logits.dim() == 4 and seg_logits.shape[1] == 1:
        pred = predicted_classes(seg_logits, threshold)
        seg_logits = torch.cat([torch.zeros_like(seg_logits), seg_logits], 1)
    with torch.no_grad(), _evaluating(loss):
        weighed = loss.weighed_pixels(seg_logits, seg_label, weight, ignore_index)
        pred = weighed.scores.pred if pred is None else pred
        if pred is None and isinstance(seg_logits, UpsampledLogits):
            pred = seg_logits.predictions(seg_label, ignore_index)
        elif pred is None:
            pred = predicted_classes(seg_logits)
    valid = seg_label != ignore_index
    total = weighed.weighing
    if weighed.factor is not None:
        total = total * weighed.factor
    return PixelWeighting(
        pred,
        weighed.scores.num_classes,
        seg_label,
        valid,
        weighed.scores.loss.detach(),
        weighed.weighing,
        torch.where(valid, total, 0.0),
        weighed.divisor,
    )


def curves_of(loss: PixelWeightingLoss, weighting: PixelWeighting) -> dict[str, Tensor]:
    """Summarises a weighting in numbers, to be drawn over the iterations.

    Args:
        loss: The loss.
        weighting: Its weighting of a batch.

    Returns:
        ``'mean_weight'``, of the valid pixels; ``'support_90'``, the share of them that carries
        90 % of the weight, averaged over the images; ``'class_weight'`` (C,), the mean weight of
        each class's pixels; and the loss's own numbers. NaN if there is no pixel. Reading them
        waits for the device.
    """
    label = torch.where(weighting.valid, weighting.seg_label, -1)
    weight, valid = weighting.weight.double(), weighting.valid
    return {
        'mean_weight': weight.sum() / valid.sum(),
        'support_90': weight_support(weight.flatten(1), valid.flatten(1), 0.9).nanmean(),
        'class_weight': class_mean(weight, label, weighting.num_classes),
        **loss.curves(weighting.weighing, valid),
    }


def first_weighting(losses: Sequence[nn.Module]) -> nn.Module | None:
    """Returns the first loss that weighs pixels, compiled or not, or None."""
    for loss in losses:
        inner = not_compiled(loss)
        if isinstance(inner, PixelWeightingLoss) and inner.weighs_pixels:
            return loss
    return None


def not_compiled(loss: nn.Module) -> nn.Module:
    """Returns the loss without a ``torch.compile`` wrapper."""
    return getattr(loss, '_orig_mod', loss)


@contextmanager
def _evaluating(loss: nn.Module) -> Iterator[None]:
    training = loss.training
    counting = [module for module in loss.modules() if isinstance(module, ClassCountLoss)]
    loss.eval()
    for module in counting:
        module.together = True
    try:
        yield
    finally:
        loss.train(training)
        for module in counting:
            module.together = False


def describe(loss: PixelWeightingLoss, instead_of: nn.Module | None = None) -> str:
    """Returns the title of a picture, for a loss or for its stand-in."""
    name = ' '.join(repr(loss).split())
    if instead_of is None:
        return name
    return f'trained with {type(instead_of).__name__}; weights that {name} would give'


def weighed_images(
    weighting: PixelWeighting, images: Sequence[np.ndarray], names: Sequence[str]
) -> list:
    """Makes a picture's rows, :class:`WeighedImage`, of a batch's first images.

    Args:
        weighting: A loss's weighting of the batch.
        images: The images to show, (H, W, 3) uint8 RGB each.
        names: Their names.
    """
    from .pixel_weight_figure import WeighedImage  # late: Matplotlib is slow

    count = len(images)
    arrays = (
        weighting.seg_label,
        weighting.pred,
        weighting.valid,
        weighting.pixel_loss,
        weighting.relative_weight(),
    )
    per_image = zip(*(array[:count].cpu().numpy() for array in arrays), strict=True)
    return [
        WeighedImage(image, *row, name)
        for image, row, name in zip(images, per_image, names, strict=True)
    ]
