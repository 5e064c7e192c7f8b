"""How hooks and tools see what a loss makes of single batches."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..losses.pixel_weighting_loss import PixelWeightingLoss
from ..losses.upsampled_logits import UpsampledLogits
from ..ops.weight_support import class_mean, weight_support


class PixelWeighting(NamedTuple):
    """What a loss made of one batch: for curves and pictures, without gradients.

    Attributes:
        pred: (N, H, W), the predicted classes, in an integer dtype.
        num_classes: C, of the logits.
        seg_label: (N, H, W) int64.
        valid: (N, H, W) bool, False where the label is ignored.
        pixel_loss: (N, H, W), not yet multiplied with anything, 0 where not valid.
        weighing: (N, H, W), what :meth:`PixelWeightingLoss.weigh` returned.
        weight: (N, H, W), all that the pixel losses are multiplied with: ``weighing``, and the
            weights of classes and of a pixel sampler; 0 where not valid.
        divisor: (G,), what their sums over G equal groups of images are divided by for the mean.
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
        """The weights (N, H, W) in units of what the mean over each group gives: 1 everywhere."""
        groups = len(self.divisor)
        pixels = self.valid.reshape(groups, -1).sum(1)
        relative = self.weight.reshape(groups, -1) * (pixels / self.divisor)[:, None]
        return relative.view_as(self.weight)


class WeightingRecorder:
    """Keeps what a loss is called with in chosen iterations, and weighs it again.

    Several may record at one loss. The training is the same as without. Of several calls in an
    iteration the last one counts; OHEM's probing of single pixels does not.

    Args:
        module: The loss, called as MMSegmentation's heads do it; ``torch.compile`` may wrap it.
        stand_in: Another loss whose weighting is to be seen, where ``module`` weighs no pixels.
    """

    def __init__(self, module: nn.Module, stand_in: PixelWeightingLoss | None = None) -> None:
        self.loss = unwrapped(module) if stand_in is None else stand_in
        self._listening = False
        self._call: tuple | None = None
        # Registered once: a compiled loss keeps to the hooks that it was compiled with.
        self._handle = module.register_forward_hook(self._keep, with_kwargs=True)

    def start(self) -> None:
        """To be called before an iteration that is wanted."""
        self._listening, self._call = True, None

    def take(self) -> PixelWeighting | None:
        """The weighting of the iteration since :meth:`start`; None if the loss was not called.

        To be called by every process: a loss may sum up over them.

        Raises:
            ValueError: The loss was not called with logits (N, C, H, W) and labels (N, H, W).
        """
        self._listening, call, self._call = False, self._call, None
        if call is None:
            return None
        seg_logits, seg_label, weight, ignore_index = call
        return weigh(self.loss.to(seg_label.device), seg_logits, seg_label, ignore_index, weight)

    def close(self) -> None:
        """To be called when no further iteration is wanted."""
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
) -> PixelWeighting:
    """What a loss makes of logits (N, C, H, W) and labels (N, H, W).

    Logits (N, 1, H, W) of two classes are taken for what the sigmoid makes of them. What a loss
    remembers of past batches is used, and stays as it is.
    """
    if isinstance(seg_logits, Tensor) and seg_logits.dim() == 4 and seg_logits.shape[1] == 1:
        seg_logits = torch.cat([torch.zeros_like(seg_logits), seg_logits], 1)
    with torch.no_grad(), _evaluating(loss):
        weighed = loss.weighed_pixels(seg_logits, seg_label, weight, ignore_index)
        pred = weighed.scores.pred
        if pred is None and isinstance(seg_logits, UpsampledLogits):
            pred = seg_logits.predictions(seg_label, ignore_index)
        elif pred is None:
            pred = seg_logits.max(1).indices
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
    """Numbers that show what a weighting does, to be drawn over the iterations.

    Args:
        loss: The loss.
        weighting: What it made of a batch.

    Returns:
        ``'mean_weight'``, of the valid pixels; ``'support_90'``, the share of them that carries
        90 % of the weight, averaged over the images; ``'class_weight'`` (C,), the mean weight of
        each class's pixels; and the loss's own. NaN where there is no pixel. Reading them waits
        for the device.
    """
    label = torch.where(weighting.valid, weighting.seg_label, -1)
    weight, valid = weighting.weight.double(), weighting.valid
    return {
        'mean_weight': weight.sum() / valid.sum(),
        'support_90': weight_support(weight.flatten(1), valid.flatten(1), 0.9).nanmean(),
        'class_weight': class_mean(weight, label, weighting.num_classes),
        **loss.curves(weighting.weighing, valid),
    }


def unwrapped(loss: nn.Module) -> nn.Module:
    """The loss that ``torch.compile`` may have wrapped."""
    return getattr(loss, '_orig_mod', loss)


def first_weighting(losses: Sequence[nn.Module]) -> nn.Module | None:
    """The first of several losses that weighs pixels, as it is, wrapped or not."""
    for loss in losses:
        inner = unwrapped(loss)
        if isinstance(inner, PixelWeightingLoss) and inner.weighs_pixels:
            return loss
    return None


@contextmanager
def _evaluating(loss: nn.Module) -> Iterator[None]:
    training = loss.training
    loss.eval()
    try:
        yield
    finally:
        loss.train(training)


def check_classes(weighting: PixelWeighting, num_classes: int, who: str) -> None:
    """Makes sure that the logits are of the data set's classes.

    Raises:
        ValueError: They are not.
    """
    channels = weighting.num_classes
    if channels != num_classes:
        raise ValueError(
            f'{who}: the loss gets logits of {channels} classes, the data set has {num_classes}; '
            'name another loss'
        )


def describe(loss: PixelWeightingLoss, instead_of: nn.Module | None = None) -> str:
    """Title of a picture of a loss's weights, or of those that it would give in another's place."""
    name = ' '.join(repr(loss).split())
    if instead_of is None:
        return name
    return f'trained with {type(instead_of).__name__}; weights that {name} would give'


def weighed_images(
    weighting: PixelWeighting, images: Sequence[np.ndarray], names: Sequence[str]
) -> list:
    """The first images of a batch as the rows, :class:`WeighedImage`, of a picture.

    Args:
        weighting: What a loss made of the batch.
        images: (H, W, 3) uint8 RGB each, as many as to show.
        names: What to call them.
    """
    from .pixel_weight_figure import WeighedImage  # late: Matplotlib takes its time

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
