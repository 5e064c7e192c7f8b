"""Soft-max cross-entropy of every pixel, without copies of the logits."""

import functools
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .compiling import COMPILES_FUNCTIONS, is_compiling
from .kernels import kernels_apply
from .row_stripes import (
    gradient_in_stripes,
    logits_of,
    resizing_of,
    row_stripes,
    working_dtype,
)
from .second_derivative import refuse_second_derivative
from .stripes import map_stripes


class PixelScores(NamedTuple):
    """Losses and predicted classes of all pixels.

    Attributes:
        loss: (N, H, W), float32, or float64 for float64 logits; 0 where the label is ignored.
        pred: (N, H, W), the class of the largest logit, the first one if several are equal, any
            class if one is NaN. It has the smallest dtype that fits, uint8 for up to 256 classes.
            None if not requested.
        num_classes: C.
    """

    loss: Tensor
    pred: Tensor | None
    num_classes: int


def pixel_cross_entropy(
    seg_logits: Tensor,
    seg_label: Tensor,
    ignore_index: int,
    align_corners: bool | None = None,
    shift: Tensor | None = None,
    predict: bool = False,
    compile: bool = False,
) -> PixelScores:
    """Computes -log softmax(logits)[label] of every pixel, and the predicted class.

    On a CPU or in half precision, eager code processes the logits in stripes, so that the only
    other tensor of their size is their gradient. With ``align_corners``, the logits may be smaller
    than the labels: they are resized on the fly, and no tensor of the resized size (N, C, H, W)
    ever exists. The logits are saved for the backward pass. Half-precision logits are processed in
    float32.

    For an ignored pixel with non-finite logits, PyTorch's own cross-entropy has the gradient
    0 · NaN = NaN, which then spreads over the network; here that gradient is 0.

    Args:
        seg_logits: (N, C, H, W), or (N, C, h, w) with ``align_corners``; a floating dtype.
        seg_label: (N, H, W) int64, classes 0 … C - 1 or ``ignore_index``.
        ignore_index: Label of the pixels to leave out.
        align_corners: How to resize the logits to the labels' size, as the same argument of
            ``F.interpolate(mode='bilinear')`` does. None: no resizing.
        shift: (C,), added to every pixel's logits for the loss but not for the prediction; a
            constant in the backward pass.
        predict: Whether to return the predicted classes too.
        compile: Whether to compile the computation with ``torch.compile``, at the first call.

    Raises:
        RuntimeError: In a backward pass with ``create_graph=True``.
        IndexError, RuntimeError: On a CPU, for a label that is neither a class nor ignored.

    Example:
        >>> logits = torch.tensor([[0.0, torch.nan], [0.0, 1.0]]).view(1, 2, 1, 2)
        >>> pixel_cross_entropy(logits, torch.tensor([[[1, 255]]]), ignore_index=255).loss
        tensor([[[0.6931, 0.0000]]])
    """
    if is_compiling() and not COMPILES_FUNCTIONS and align_corners is None:
        ignored = (seg_label == ignore_index).unsqueeze(-3)
        logits = torch.where(ignored, 0.0, seg_logits)  # for the gradient, which is autograd's
        loss, pred = _score(logits, seg_label, shift, ignore_index, predict)
        return PixelScores(loss, pred, seg_logits.shape[1])
    outputs = _PixelCrossEntropy.apply(
        seg_logits, seg_label, shift, ignore_index, align_corners, predict, compile
    )
    loss, pred = outputs if predict else (outputs, None)
    return PixelScores(loss, pred, seg_logits.shape[1])


class _PixelCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx, seg_logits, seg_label, shift, ignore_index, align_corners, predict, compile
    ) -> Tensor | tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)  # the prediction has none
        ctx.in_kernels = kernels_apply(seg_logits) and seg_label.numel() > 0 and not compile
        given = seg_logits, seg_label, shift, ignore_index
        if ctx.in_kernels:
            loss, pred = _score_in_kernels(ctx, *given, align_corners, predict)
        else:
            ctx.save_for_backward(seg_logits, seg_label, shift)
            ctx.options = ignore_index, align_corners, compile
            score = _compiled(_score) if compile else _score
            if align_corners is None and _at_once(seg_logits, compile):
                loss, pred = score(*given, predict)
            else:
                loss, pred = _score_in_stripes(score, *given, align_corners, predict)
        if not predict:
            return loss
        ctx.mark_non_differentiable(pred)
        return loss, pred

    @staticmethod
    def backward(ctx, grad_loss: Tensor | None, *_) -> tuple[Tensor | None, ...]:
        refuse_second_derivative('pixel_cross_entropy')
        if grad_loss is None:
            return (None,) * 7
        if ctx.in_kernels:
            return _backward_in_kernels(ctx, grad_loss), *[None] * 6
        seg_logits, seg_label, shift = ctx.saved_tensors
        ignore_index, align_corners, compile = ctx.options
        given = seg_logits, seg_label, shift, ignore_index
        gradient = _compiled(_gradient) if compile else _gradient
        if align_corners is None and _at_once(seg_logits, compile):
            grad = gradient(*given, grad_loss)
        else:
            grad = _gradient_in_stripes(gradient, *given, align_corners, grad_loss)
        return grad, *[None] * 6


def _score_in_stripes(
    score: Callable, seg_logits, seg_label, shift, ignore_index, align_corners, predict
) -> tuple[Tensor, Tensor | None]:
    """Computes :func:`_score` of all stripes, of smaller logits with ``align_corners``."""
    loss = seg_logits.new_empty(seg_label.shape, dtype=working_dtype(seg_logits))
    pred = None
    if predict:
        pred = seg_label.new_empty(seg_label.shape, dtype=_class_dtype(seg_logits.shape[1]))
    resizing = resizing_of(seg_logits, seg_label, align_corners)

    def score_stripe(part: tuple[int, slice]) -> None:
        logits = logits_of(part, seg_logits, resizing)
        loss[part], named = score(logits, seg_label[part], shift, ignore_index, predict)
        if predict:
            pred[part] = named

    stripes, device = row_stripes(seg_logits, seg_label), seg_logits.device
    deque(map_stripes(score_stripe, stripes, device, score is _score), maxlen=0)
    return loss, pred


def _gradient_in_stripes(
    gradient: Callable, seg_logits, seg_label, shift, ignore_index, align_corners, grad_loss
) -> Tensor:
    """Computes :func:`_gradient` of all stripes, that of smaller logits with ``align_corners``."""

    def gradient_of(part: tuple[int, slice], logits: Tensor) -> Tensor:
        return gradient(logits, seg_label[part], shift, ignore_index, grad_loss[part])

    stripes = row_stripes(seg_logits, seg_label)
    resizing = resizing_of(seg_logits, seg_label, align_corners)
    return gradient_in_stripes(gradient_of, stripes, seg_logits, resizing, gradient is _gradient)


def _score_in_kernels(
    ctx, seg_logits, seg_label, shift, ignore_index, align_corners, predict
) -> tuple[Tensor, Tensor | None]:
    from .kernels import score, upsampled

    seg_label = seg_label.contiguous()
    shift = None if shift is None else shift.float().contiguous()
    pred = None
    if predict:
        pred = seg_label.new_empty(seg_label.shape, dtype=_class_dtype(seg_logits.shape[1]))
    ignore_index = int(ignore_index)
    given = seg_logits, seg_label, shift, ignore_index
    if align_corners is None:
        loss, soft_max = score.score(*given, pred)
    else:
        loss, soft_max = upsampled.score(*given, align_corners, pred)
    ctx.save_for_backward(seg_logits, seg_label, shift, soft_max)
    ctx.options = ignore_index, align_corners
    return loss, pred


def _backward_in_kernels(ctx, grad_loss: Tensor) -> Tensor:
    from .kernels import score, upsampled

    seg_logits, seg_label, shift, soft_max = ctx.saved_tensors
    ignore_index, align_corners = ctx.options
    given = seg_logits, seg_label, shift, ignore_index
    grad_loss = grad_loss.contiguous()
    if align_corners is None:
        return score.gradient(*given, soft_max, grad_loss)
    return upsampled.gradient(*given, align_corners, soft_max, grad_loss)


def _score(
    logits: Tensor, label: Tensor, shift: Tensor | None, ignore_index: int, predict: bool
) -> tuple[Tensor, Tensor | None]:
    """Computes loss and prediction, (…, H, W), of logits (…, C, H, W)."""
    pred = _first_of_largest(logits) if predict else None
    if shift is not None:
        logits = logits + shift.view(-1, 1, 1).to(working_dtype(logits))
    ignored = label == ignore_index
    label = label.masked_fill(ignored, 0).unsqueeze(-3)
    log_probability = F.log_softmax(logits, -3, dtype=working_dtype(logits))
    loss = -log_probability.gather(-3, label).squeeze(-3)
    return loss.masked_fill(ignored, 0), pred


def _gradient(
    logits: Tensor, label: Tensor, shift: Tensor | None, ignore_index: int, grad_loss: Tensor
) -> Tensor:
    """The gradient (…, C, H, W) of the losses of :func:`_score`, times ``grad_loss`` (…, H, W)."""
    dtype = logits.dtype
    if shift is not None:
        logits = logits + shift.view(-1, 1, 1).to(working_dtype(logits))
    ignored = (label == ignore_index).unsqueeze(-3)
    label = label.unsqueeze(-3).masked_fill(ignored, 0)
    grad_loss = grad_loss.unsqueeze(-3).masked_fill(ignored, 0)
    probability = F.softmax(logits, -3, dtype=working_dtype(logits))
    if is_compiling():  # one loop over the logits, which a scatter would split
        classes = torch.arange(logits.shape[-3], device=logits.device).view(-1, 1, 1)
        gradient = (probability - (classes == label).to(probability.dtype)) * grad_loss
        return torch.where(ignored, 0.0, gradient).to(dtype)
    gradient = probability.mul_(grad_loss).scatter_add_(-3, label, -grad_loss)
    # Ignored pixels are 0 already, unless NaN. The soft-max is NaN for all classes or none, and on
    # a CPU checking is quicker than writing.
    poisoned = gradient.narrow(-3, 0, 1).isnan() & ignored
    if gradient.device.type != 'cpu' or poisoned.any():
        gradient.masked_fill_(poisoned, 0)
    return gradient.to(dtype)


def _first_of_largest(logits: Tensor) -> Tensor:
    """Returns the class (…, H, W) of the largest logit (…, C, H, W), any class if one is NaN."""
    num_classes = logits.shape[-3]
    dtype = _class_dtype(num_classes)
    if logits.device.type != 'cpu' or is_compiling():
        return logits.max(-3).indices.to(dtype)
    # On a CPU this takes a fraction of the time of max, which gains nothing from vector units.
    logits = logits.to(working_dtype(logits))
    rank = torch.arange(num_classes, 0, -1, dtype=logits.dtype, device=logits.device)
    is_largest = logits.clone().eq_(logits.amax(-3, keepdim=True))
    best = is_largest.mul_(rank.view(-1, 1, 1)).amax(-3)
    # NaN is not equal to itself, so best is 0 there
    return (num_classes - best).clamp(max=num_classes - 1).to(dtype)


def _at_once(seg_logits: Tensor, compile: bool) -> bool:
    """Whether to process all logits at once, since stripes would gain nothing.

    Compiled code is one loop over the pixels. A GPU's caches are small compared with the logits,
    and its eager code makes little else of their size unless it converts half precision.
    """
    on_a_gpu = seg_logits.device.type != 'cpu'
    whole = on_a_gpu and seg_logits.dtype == working_dtype(seg_logits)
    return compile or is_compiling() or whole


def _class_dtype(num_classes: int) -> torch.dtype:
    """Returns the smallest dtype that fits all class indices."""
    return next(
        dtype
        for dtype in (torch.uint8, torch.int16, torch.int32)
        if num_classes <= torch.iinfo(dtype).max + 1
    )


_compiled = functools.cache(torch.compile)
