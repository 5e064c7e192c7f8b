"""Sums of probabilities over regions: what overlaps such as Dice and the Tversky index need."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .compiling import is_compiling
from .full_precision import full_precision
from .row_stripes import gradient_in_stripes, logits_of, resizing_of, row_stripes, working_dtype
from .second_derivative import refuse_second_derivative
from .stripes import map_stripes


class RegionSums(NamedTuple):
    """Sums over the valid pixels, for every class.

    Attributes:
        true_positive: (C,) float64, of the probability of the class, over the pixels of the class.
        predicted: (C,) float64, of the probability of the class.
        pixels: (C,) float64, number of pixels of the class.
    """

    true_positive: Tensor
    predicted: Tensor
    pixels: Tensor


def region_sums(
    seg_logits: Tensor, seg_label: Tensor, ignore_index: int, align_corners: bool | None = None
) -> RegionSums:
    """Sums the soft-max of all pixels by class, in stripes.

    Only the logits are saved for the backward pass, which computes the soft-max again.
    Half-precision logits are processed in float32, and all is added up in float64.

    Args:
        seg_logits: (N, C, H, W), or (N, C, h, w) with ``align_corners``; a floating dtype.
        seg_label: (N, H, W) int64, classes 0 … C - 1 or ``ignore_index``.
        ignore_index: Label of the pixels to leave out.
        align_corners: How to resize the logits to the labels' size, see
            :func:`pixel_cross_entropy`. None: no resizing.

    Raises:
        RuntimeError: In a backward pass with ``create_graph=True``.

    Example:
        >>> sums = region_sums(torch.zeros(1, 2, 1, 3), torch.tensor([[[1, 1, 255]]]), 255)
        >>> sums.true_positive.tolist(), sums.predicted.tolist(), sums.pixels.tolist()
        ([0.0, 1.0], [1.0, 1.0], [0.0, 2.0])
    """
    if is_compiling() and align_corners is None:  # a compiler makes stripes of its own
        ignored = (seg_label == ignore_index)[:, None]
        logits = torch.where(ignored, 0.0, seg_logits).movedim(1, 0)
        return RegionSums(*_sums(*_read(logits, seg_label, ignore_index)))
    return RegionSums(*_RegionSums.apply(seg_logits, seg_label, ignore_index, align_corners))


class _RegionSums(torch.autograd.Function):
    @staticmethod
    def forward(ctx, seg_logits, seg_label, ignore_index, align_corners) -> tuple[Tensor, ...]:
        ctx.save_for_backward(seg_logits, seg_label)
        ctx.options = ignore_index, align_corners
        resizing = resizing_of(seg_logits, seg_label, align_corners)

        def sums_of(part: tuple[int, slice]) -> Tensor:
            logits = logits_of(part, seg_logits, resizing)
            return _sums(*_read(logits, seg_label[part], ignore_index))

        total = torch.zeros(3, seg_logits.shape[1], dtype=torch.float64, device=seg_logits.device)
        stripes = row_stripes(seg_logits, seg_label)
        for found in map_stripes(sums_of, stripes, seg_logits.device):
            total += found
        true_positive, predicted, pixels = total.unbind()
        ctx.mark_non_differentiable(pixels)
        return true_positive, predicted, pixels

    @staticmethod
    def backward(ctx, grad_true: Tensor, grad_predicted: Tensor, _) -> tuple[Tensor | None, ...]:
        refuse_second_derivative('region_sums')
        seg_logits, seg_label = ctx.saved_tensors
        ignore_index, align_corners = ctx.options
        slopes = torch.stack([grad_predicted, grad_predicted + grad_true])
        background, foreground = slopes.to(working_dtype(seg_logits))

        def gradient_of(part: tuple[int, slice], logits: Tensor) -> Tensor:
            probability, label, _ = _read(logits, seg_label[part], ignore_index)
            own = probability.gather(0, label[None])[0]
            with full_precision(probability.device):
                common = probability.T.mv(background) + own * (foreground - background)[label]
            gradient = (background[:, None] - common).mul_(probability)
            gradient.scatter_(0, label[None], (own * (foreground[label] - common))[None])
            return gradient.view(logits.shape)

        resizing = resizing_of(seg_logits, seg_label, align_corners)
        stripes = row_stripes(seg_logits, seg_label)
        return gradient_in_stripes(gradient_of, stripes, seg_logits, resizing), *[None] * 3


def _read(logits: Tensor, label: Tensor, ignore_index: int) -> tuple[Tensor, Tensor, Tensor]:
    """Returns probabilities (C, P) and labels (P,), 0 where ignored, and what is valid (P,)."""
    label = label.flatten()
    valid = label != ignore_index
    probability = F.softmax(logits, 0, dtype=working_dtype(logits)).flatten(1)
    return torch.where(valid, probability, 0.0), torch.where(valid, label, 0), valid


def _sums(probability: Tensor, label: Tensor, valid: Tensor) -> Tensor:
    """Returns the three sums (3, C) of :class:`RegionSums`."""
    double = dict(dtype=torch.float64)
    predicted = probability.sum(1, **double)
    if probability.device.type == 'cpu':
        own = torch.stack([probability.gather(0, label[None])[0], valid]).double()
        true_positive, pixels = own.new_zeros(2, len(probability)).index_add(1, label, own)
    else:  # a GPU adds scattered numbers in no fixed order
        classes = torch.arange(len(probability), device=label.device)[:, None]
        of_label = (classes == label) & valid
        true_positive = torch.where(of_label, probability, 0.0).sum(1, **double)
        pixels = of_label.sum(1, **double)
    return torch.stack([true_positive, predicted, pixels])
