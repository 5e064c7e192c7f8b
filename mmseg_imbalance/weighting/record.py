"""How hooks and tools see what a loss makes of single batches."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ..losses.pixel_weighting_loss import PixelWeighting, PixelWeightingLoss
from ..losses.upsampled_logits import UpsampledLogits


class WeightingRecorder:
    """Has a loss keep its weighting of chosen iterations, and of the others nothing.

    Several may record at one loss. The training is the same as without. Of several calls in an
    iteration the last one is kept; OHEM's probing of single pixels does not count.

    Args:
        loss: The loss.
    """

    def __init__(self, loss: PixelWeightingLoss) -> None:
        self.loss = loss

    def start(self) -> None:
        """To be called before an iteration that is wanted."""
        self.loss.recording += 1

    def take(self) -> PixelWeighting | None:
        """What was made of the iteration since :meth:`start`; None if the loss was not called."""
        recorded = self.loss.recorded
        self.loss.recording -= 1
        if not self.loss.recording:  # nobody else is still to take it
            self.loss.recorded = None
        return recorded

    def close(self) -> None:
        """To be called when no further iteration is wanted."""


class StandInRecorder:
    """Shows what one loss would make of the logits and labels that another one is called with.

    Used as :class:`WeightingRecorder`, for losses that do not weigh pixels.

    Args:
        loss: The loss, to be called with (logits, label) as MMSegmentation's heads do it.
        stand_in: The loss whose weighting is shown.
    """

    def __init__(self, loss: nn.Module, stand_in: PixelWeightingLoss) -> None:
        self.stand_in = stand_in
        self._listening = False
        self._call: tuple[Tensor | UpsampledLogits, Tensor, int] | None = None
        # Registered once: a compiled loss keeps to the hooks that it was compiled with.
        self._handle = loss.register_forward_hook(self._keep, with_kwargs=True)

    def start(self) -> None:
        """To be called before an iteration that is wanted."""
        self._listening, self._call = True, None

    def take(self) -> PixelWeighting | None:
        """What the stand-in makes of the iteration; None if the loss was not called.

        Raises:
            ValueError: The loss was not called with logits (N, C, H, W) and labels (N, H, W).
        """
        self._listening, call, self._call = False, self._call, None
        if call is None:
            return None
        logits, label, ignore_index = call
        return weigh(self.stand_in.to(label.device), logits, label, ignore_index)

    def close(self) -> None:
        """To be called when no further iteration is wanted."""
        self._handle.remove()

    def _keep(self, module: nn.Module, args: tuple, kwargs: dict, output) -> None:
        if self._listening and kwargs.get('reduction_override') != 'none' and len(args) > 1:
            self._call = (args[0].detach(), args[1], kwargs.get('ignore_index', 255))


def weigh(
    loss: PixelWeightingLoss,
    seg_logits: Tensor | UpsampledLogits,
    seg_label: Tensor,
    ignore_index: int,
) -> PixelWeighting:
    """What a loss makes of logits (N, C, H, W) and labels (N, H, W).

    Logits (N, 1, H, W) of two classes are taken for what the sigmoid makes of them.
    """
    if isinstance(seg_logits, Tensor) and seg_logits.dim() == 4 and seg_logits.shape[1] == 1:
        seg_logits = torch.cat([torch.zeros_like(seg_logits), seg_logits], 1)
    recorder = WeightingRecorder(loss)
    recorder.start()
    try:
        with torch.no_grad():
            loss(seg_logits, seg_label, ignore_index=ignore_index)
    finally:
        recorded = recorder.take()
    return recorded


def first_weighting(losses: Sequence[nn.Module]) -> PixelWeightingLoss | None:
    """The first of several losses that weighs pixels, also if ``torch.compile`` wraps it."""
    for loss in losses:
        loss = getattr(loss, '_orig_mod', loss)
        if isinstance(loss, PixelWeightingLoss) and loss.weighs_pixels:
            return loss
    return None


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
