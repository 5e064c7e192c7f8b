"""Search for the pixel that makes a loss NaN or infinite, and for the cause."""

import inspect
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..losses.pixel_weighting_loss import PixelWeightingLoss


class Culprit(NamedTuple):
    """The pixel that makes a loss NaN or infinite.

    Attributes:
        pixel: Image, row and column of the first pixel at fault.
        share: Number of such pixels and of all comparable pixels, in words.
        fault: What is wrong with the pixel, in words.
    """

    pixel: tuple[int, int, int]
    share: str
    fault: str


def find_culprit(
    loss: nn.Module,
    seg_logits: Tensor,
    seg_label: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = 255,
) -> Culprit | None:
    """Finds the first pixel that makes a loss NaN or infinite; waits for the device.

    Args:
        loss: A loss of this package or of MMSegmentation.
        seg_logits: Logits that the loss was called with, (N, C, H, W).
        seg_label: Labels (N, H, W).
        weight: Weights of a pixel sampler, if there is one, (N, H, W).
        ignore_index: Label of the pixels to leave out.

    Returns:
        The pixel, None if logits, weights and losses of all pixels are finite.
    """
    valid = seg_label != ignore_index
    for bad, fault in _suspicions(loss, seg_logits, seg_label, weight, valid, ignore_index):
        if bad.any():
            n, row, column = bad.nonzero()[0].tolist()
            kind, alike = ('valid', valid) if valid[n, row, column] else ('ignored', ~valid)
            count = int(bad.sum())
            share = (
                f'{count} such pixel{"s" if count > 1 else ""} among {int(alike.sum())} {kind} '
                'ones in the batch'
            )
            return Culprit((n, row, column), share, fault((n, row, column)))
    return None


def first_non_finite_parameter(model: nn.Module) -> str | None:
    """Returns the name of a model's first parameter that is not finite, None without one."""
    for name, parameter in model.named_parameters():
        if not parameter.isfinite().all():
            return name
    return None


def _suspicions(loss, logits, label, weight, valid, ignore_index) -> Iterator:
    """Yields masks (N, H, W) of pixels at fault, each with a function that describes a fault."""

    def logits_hold(pixel):
        n, row, column = pixel
        values = logits[n, :, row, column]
        wrong = values[~values.isfinite()]
        return f'its logits hold {wrong[0].item()} ({len(wrong)} of {len(values)} classes)'

    # A logit of -inf means probability 0, which is harmless unless it is the label's own class.
    own = logits.gather(1, label.clamp(0, logits.shape[1] - 1)[:, None])[:, 0]
    poisoned = (logits.isnan() | (logits == torch.inf)).any(1)
    yield valid & (poisoned | (own == -torch.inf)), logits_hold

    if weight is not None:
        yield valid & ~weight.isfinite(), lambda pixel: f'its weight is {weight[pixel].item()}'

    class_weight = getattr(loss, 'class_weight', None)
    if class_weight is not None:
        by_class = torch.as_tensor(class_weight, device=label.device)
        by_pixel = by_class[torch.where(valid, label, 0).clamp(0, len(by_class) - 1)]
        yield (
            valid & ~by_pixel.isfinite(),
            lambda pixel: f'the class weight of its label is {by_pixel[pixel].item()}',
        )

    losses = _pixel_losses(loss, logits, label, ignore_index)
    if losses is not None:
        yield (
            valid & ~losses.isfinite(),
            lambda pixel: f'its logits are finite, but the loss made of them is {losses[pixel]}',
        )
    yield ~valid & poisoned, logits_hold  # some losses use ignored pixels


def _pixel_losses(loss, logits: Tensor, label: Tensor, ignore_index: int) -> Tensor | None:
    """Returns the pixel losses (N, H, W), None if the loss cannot return them."""
    if isinstance(loss, PixelWeightingLoss):  # score alone: its weighting may wait for other ranks
        return loss.score(logits, label, ignore_index).loss
    arguments = inspect.signature(loss.forward).parameters
    if 'reduction_override' not in arguments or 'ignore_index' not in arguments:
        return None
    losses = loss(logits, label, reduction_override='none', ignore_index=ignore_index)
    return losses if losses.shape == label.shape else None
