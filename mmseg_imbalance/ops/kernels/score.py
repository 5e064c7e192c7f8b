"""Cross-entropy of every pixel in one pass over the logits, and its gradient in another."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from .available import device_of
from .shares import ceil_div

_WARPS = 4
_GRADIENT_WARPS = 8  # the gradient writes as much as it reads
# Classes at a time, all in one thread: reductions over threads cost more than memory.
_CLASSES = 4


def score(
    logits: Tensor, label: Tensor, shift: Tensor | None, ignore_index: int, pred: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Computes pixel losses, and the parts of the soft-max that :func:`gradient` needs.

    Args:
        logits: (N, C, H, W), any strides.
        label: (N, H, W) int64, contiguous.
        shift: (C,) float32, or None.
        ignore_index: Label of the pixels to leave out.
        pred: Output for the predicted classes, (N, H, W) of an integer dtype, or None.

    Returns:
        Losses (N, H, W) float32, NaN for a label out of range; and (2, N, H, W) float32, the
        largest logit and the logarithm of the sum of exponentials relative to it. A single number
        for both would lose digits if logits are large.
    """
    loss = torch.empty(label.shape, dtype=torch.float32, device=label.device)
    soft_max = loss.new_empty(2, *label.shape)
    pixels = _pixels(logits, _WARPS)
    with device_of(logits):
        _score_kernel[image_grid(label, pixels)](
            logits,
            label,
            shift,
            loss,
            pred,
            soft_max,
            *image_sizes(logits),
            *logits.stride(),
            label.numel(),
            ignore_index,
            FLAT=is_flat(logits),
            K=_CLASSES,
            B=pixels,
            num_warps=_WARPS,
        )
    return loss, soft_max


def gradient(
    logits: Tensor,
    label: Tensor,
    shift: Tensor | None,
    ignore_index: int,
    soft_max: Tensor,
    grad_loss: Tensor,
) -> Tensor:
    """Computes the gradient of :func:`score`'s losses times ``grad_loss``.

    Args:
        logits: As in ``score``.
        label: As in ``score``.
        shift: As in ``score``.
        ignore_index: As in ``score``.
        soft_max: Second result of ``score``.
        grad_loss: (N, H, W) float32, contiguous.

    Returns:
        (N, C, H, W), in the dtype of the logits.
    """
    grad = torch.empty_like(logits)
    pixels = _pixels(logits, _GRADIENT_WARPS)
    with device_of(logits):
        _gradient_kernel[image_grid(label, pixels)](
            logits,
            label,
            shift,
            soft_max,
            grad_loss,
            grad,
            *image_sizes(logits),
            *logits.stride(),
            *grad.stride(),
            label.numel(),
            ignore_index,
            FLAT=is_flat(logits) and is_flat(grad),
            K=_CLASSES,
            B=pixels,
            num_warps=_GRADIENT_WARPS,
        )
    return grad


def _pixels(logits: Tensor, warps: int) -> int:
    """Returns a program's number of pixels: each thread has 16 bytes of every class."""
    return 32 * warps * 16 // logits.element_size()


def image_grid(label: Tensor, pixels: int) -> tuple[int, int]:
    return ceil_div(label[0].numel(), pixels), label.shape[0]


def image_sizes(logits: Tensor) -> tuple[int, int, int]:
    """Returns C, W and the number of pixels of an image."""
    return logits.shape[1], logits.shape[3], logits.shape[2] * logits.shape[3]


def is_flat(logits: Tensor) -> bool:
    """Whether successive pixels are equally far apart in memory."""
    return logits.stride(2) == logits.shape[3] * logits.stride(3)


@triton.jit
def pixel_places(pixel, W, row_stride, column_stride, FLAT: tl.constexpr):
    if FLAT:
        return pixel.to(tl.int64) * column_stride
    return (pixel // W).to(tl.int64) * row_stride + (pixel % W).to(tl.int64) * column_stride


@triton.jit
def load_logits(base, c, class_stride, place, inside, C: tl.constexpr):
    """Loads a tile (K, B) of logits in float32, -inf outside."""
    pointers = base + c.to(tl.int64)[:, None] * class_stride + place[None, :]
    mask = (c < C)[:, None] & inside[None, :]
    return tl.load(pointers, mask=mask, other=-float('inf')).to(tl.float32)


@triton.jit
def add_shift(x, shift, c, C: tl.constexpr):
    return x + tl.load(shift + c, mask=c < C, other=0.0)[:, None]


@triton.jit
def online_soft_max(z, c, target, largest, total, own):
    """Updates the largest logit, the sum of exponentials relative to it, and the label's logit."""
    new = tl.maximum(largest, tl.max(z, 0))
    against = tl.where(new == -float('inf'), 0.0, new)  # -inf minus -inf would be NaN
    total = total * tl.exp(largest - against) + tl.sum(tl.exp(z - against[None, :]), 0)
    own += tl.sum(tl.where(c[:, None] == target[None, :], z, 0.0), 0)
    return new, total, own


@triton.jit
def online_prediction(x, c, best, pred, C: tl.constexpr):
    """Updates the largest logit and the first class with it."""
    top = tl.max(x, 0)
    first = tl.min(tl.where(x == top[None, :], c[:, None], C - 1), 0)
    return tl.maximum(best, top), tl.where(top > best, first, pred)


@triton.jit
def pixel_loss(largest, total, own, target, ignore_index, C: tl.constexpr):
    loss = tl.log(total) - (own - largest)
    loss = tl.where((target >= 0) & (target < C), loss, float('nan'))
    return tl.where(target == ignore_index, 0.0, loss)


@triton.jit
def pixel_gradient(probability, c, target, factor, ignore_index, C: tl.constexpr):
    """The gradient (K, B) of the losses of :func:`pixel_loss` times ``factor`` (B,)."""
    factor = tl.where((target >= 0) & (target < C), factor, float('nan'))
    is_own = (c[:, None] == target[None, :]).to(tl.float32)
    value = (probability - is_own) * factor[None, :]
    # 0 where ignored, whatever the logits are
    return tl.where((target != ignore_index)[None, :], value, 0.0)


@triton.jit
def _score_kernel(
    logits, label, shift, loss, pred, soft_max, C: tl.constexpr, W, HW,
    image_stride, class_stride, row_stride, column_stride, N_HW, ignore_index,
    FLAT: tl.constexpr, K: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    image = tl.program_id(1).to(tl.int64)
    pixel = tl.program_id(0) * B + tl.arange(0, B)
    inside = pixel < HW
    at = image * HW + pixel
    target = tl.load(label + at, mask=inside, other=0)
    place = pixel_places(pixel, W, row_stride, column_stride, FLAT)
    base = logits + image * image_stride

    largest = tl.full((B,), -float('inf'), tl.float32)
    total = tl.zeros((B,), tl.float32)
    own = tl.zeros((B,), tl.float32)
    best = largest
    first = tl.zeros((B,), tl.int32)
    for start in range(0, C, K):
        c = start + tl.arange(0, K)
        z = load_logits(base, c, class_stride, place, inside, C)
        if pred is not None:
            best, first = online_prediction(z, c, best, first, C)
        if shift is not None:
            z = add_shift(z, shift, c, C)
        largest, total, own = online_soft_max(z, c, target, largest, total, own)

    tl.store(loss + at, pixel_loss(largest, total, own, target, ignore_index, C), mask=inside)
    if pred is not None:
        tl.store(pred + at, first, mask=inside)
    tl.store(soft_max + at, largest, mask=inside)
    tl.store(soft_max + N_HW + at, tl.log(total), mask=inside)


@triton.jit
def _gradient_kernel(
    logits, label, shift, soft_max, grad_loss, grad, C: tl.constexpr, W, HW,
    image_stride, class_stride, row_stride, column_stride,
    grad_image_stride, grad_class_stride, grad_row_stride, grad_column_stride, N_HW, ignore_index,
    FLAT: tl.constexpr, K: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    image = tl.program_id(1).to(tl.int64)
    pixel = tl.program_id(0) * B + tl.arange(0, B)
    inside = pixel < HW
    at = image * HW + pixel
    target = tl.load(label + at, mask=inside, other=0)
    factor = tl.load(grad_loss + at, mask=inside, other=0.0)
    place = pixel_places(pixel, W, row_stride, column_stride, FLAT)
    grad_place = pixel_places(pixel, W, grad_row_stride, grad_column_stride, FLAT)
    base = logits + image * image_stride
    grad_base = grad + image * grad_image_stride
    largest = tl.load(soft_max + at, mask=inside, other=0.0)
    log_total = tl.load(soft_max + N_HW + at, mask=inside, other=0.0)
    for start in range(0, C, K):
        c = start + tl.arange(0, K)
        z = load_logits(base, c, class_stride, place, inside, C)
        if shift is not None:
            z = add_shift(z, shift, c, C)
        probability = tl.exp(z - largest[None, :] - log_total[None, :])
        value = pixel_gradient(probability, c, target, factor, ignore_index, C)
        pointers = grad_base + c.to(tl.int64)[:, None] * grad_class_stride + grad_place[None, :]
        tl.store(pointers, value, mask=(c < C)[:, None] & inside[None, :])
