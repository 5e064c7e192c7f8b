"""Histograms of errors for Lovász soft-max, and the gradient; ``ops/lovasz.py`` says what for."""

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from .available import device_of
from .score import image_grid, image_sizes, is_flat, load_logits, online_soft_max, pixel_places

# On an H200 the fastest of some sizes with 150 classes, and among the fastest with 19. A program
# has few pixels, so that it finds its logits in a cache when it reads them again.
_CLASSES = 2
_PIXELS = 512
_WARPS = 8


def count(
    logits: Tensor,
    label: Tensor,
    ignore_index: int,
    number: int,
    scale: float,
    firsts: Sequence[Tensor],
    counts: Tensor,
    unknown: Tensor,
) -> None:
    """Adds the pixels to the counts of the buckets that their errors belong to.

    Background pixels in a class's first bucket are not counted. Most of the pixels are there, and
    their additions would wait for one another.

    Args:
        logits: (N, C, H, W), any strides.
        label: (N, H, W) int64, contiguous.
        ignore_index: Label of the pixels to leave out.
        number: How many first buckets a class has, all of the same width.
        scale: Errors are multiplied by it to find the first bucket.
        firsts: Up to two divisions of the buckets, see ``ops.jaccard_steps.divide``.
        counts: (2, C, B) int32, background and foreground; changed.
        unknown: A scalar int32; becomes 1 if the loss of a valid pixel is not a number.
    """
    with device_of(logits):
        _count_kernel[image_grid(label, _PIXELS)](
            logits,
            label,
            *_two(firsts, counts),
            counts,
            unknown,
            *image_sizes(logits),
            *logits.stride(),
            counts[0].numel(),
            counts.shape[2],
            ignore_index,
            NUMBER=number,
            SCALE=scale,
            LEVELS=len(firsts),
            FLAT=is_flat(logits),
            K=_CLASSES,
            B=_PIXELS,
            num_warps=_WARPS,
        )


def gradient(
    logits: Tensor,
    label: Tensor,
    ignore_index: int,
    number: int,
    scale: float,
    firsts: Sequence[Tensor],
    slopes: Tensor,
) -> Tensor:
    """Computes the gradient (N, C, H, W), in the dtype of the logits.

    Args:
        logits: As in :func:`count`.
        label: As in ``count``.
        ignore_index: As in ``count``.
        number: As in ``count``.
        scale: As in ``count``.
        firsts: As in ``count``.
        slopes: (2, C, B) float32, of the loss over the probability of a background and of a
            foreground pixel in each bucket.
    """
    grad = torch.empty_like(logits)
    with device_of(logits):
        _gradient_kernel[image_grid(label, _PIXELS)](
            logits,
            label,
            *_two(firsts, label),
            slopes,
            grad,
            *image_sizes(logits),
            *logits.stride(),
            *grad.stride(),
            slopes[0].numel(),
            ignore_index,
            NUMBER=number,
            SCALE=scale,
            LEVELS=len(firsts),
            FLAT=is_flat(logits) and is_flat(grad),
            K=_CLASSES,
            B=_PIXELS,
            num_warps=_WARPS,
        )
    return grad


def _two(firsts: Sequence[Tensor], other: Tensor) -> list[Tensor]:
    """Returns two divisions, in place of missing ones a tensor that the kernel does not read."""
    return [*firsts, other, other][:2]


@triton.jit
def _soft_max(
    base, place, inside, target, class_stride, C: tl.constexpr, K: tl.constexpr, B: tl.constexpr
):
    """Returns the largest logit (B,), and one over the sum of exponentials relative to it."""
    largest = tl.full((B,), -float('inf'), tl.float32)
    total = tl.zeros((B,), tl.float32)
    own = tl.zeros((B,), tl.float32)
    for start in range(0, C, K):
        c = start + tl.arange(0, K)
        z = load_logits(base, c, class_stride, place, inside, C)
        largest, total, own = online_soft_max(z, c, target, largest, total, own)
    return largest, 1 / total


@triton.jit
def _divided(bucket, inner, first, mask):
    """Returns the parts of the buckets that errors belong to, and where in the parts they are."""
    start = tl.load(first + bucket, mask=mask, other=0)
    parts = tl.load(first + bucket + 1, mask=mask, other=0) - start
    inner = (inner - tl.floor(inner)) * parts
    return start + inner.to(tl.int32), inner


@triton.jit
def _read(
    base, place, class_stride, c, target, largest, share, counted, first, second,
    C: tl.constexpr, NUMBER: tl.constexpr, SCALE: tl.constexpr, LEVELS: tl.constexpr,
):  # fmt: skip
    """Reads a tile (K, B): probabilities, the buckets of the errors, and which are the label's."""
    z = load_logits(base, c, class_stride, place, counted, C)
    mask = (c < C)[:, None] & counted[None, :]
    probability = tl.where(mask, tl.exp(z - largest[None, :]) * share[None, :], 0.0)
    probability = tl.where(probability <= 1, probability, 0.0)  # not NaN
    is_own = c[:, None] == target[None, :]
    inner = tl.where(is_own, 1 - probability, probability) * SCALE
    bucket = inner.to(tl.int32) + c[:, None] * NUMBER
    if LEVELS > 0:
        bucket, inner = _divided(bucket, inner, first, mask)
    if LEVELS > 1:
        bucket, inner = _divided(bucket, inner, second, mask)
    return probability, bucket, is_own, mask


@triton.jit
def _count_kernel(
    logits, label, first, second, counts, unknown, C: tl.constexpr, W, HW,
    image_stride, class_stride, row_stride, column_stride, buckets, class_buckets, ignore_index,
    NUMBER: tl.constexpr, SCALE: tl.constexpr, LEVELS: tl.constexpr, FLAT: tl.constexpr,
    K: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    image = tl.program_id(1).to(tl.int64)
    pixel = tl.program_id(0) * B + tl.arange(0, B)
    inside = pixel < HW
    target = tl.load(label + image * HW + pixel, mask=inside, other=ignore_index)
    is_class = (target >= 0) & (target < C)
    valid = (target != ignore_index) & is_class
    place = pixel_places(pixel, W, row_stride, column_stride, FLAT)
    base = logits + image * image_stride
    largest, share = _soft_max(base, place, valid, target, class_stride, C, K, B)
    known = (share > 0) & (share <= 1) & is_class
    is_unknown = tl.max(((target != ignore_index) & (known == 0)).to(tl.int32), 0)
    tl.store(unknown, 1, mask=is_unknown > 0)
    for start in range(0, C, K):
        c = start + tl.arange(0, K)
        _, bucket, is_own, mask = _read(
            base, place, class_stride, c, target, largest, share, valid, first, second,
            C, NUMBER, SCALE, LEVELS,
        )  # fmt: skip
        mask = mask & (is_own | (bucket != c[:, None] * class_buckets))
        pointers = counts + tl.where(is_own, buckets, 0) + bucket
        tl.atomic_add(pointers, 1, mask=mask, sem='relaxed')


@triton.jit
def _gradient_kernel(
    logits, label, first, second, slopes, grad, C: tl.constexpr, W, HW,
    image_stride, class_stride, row_stride, column_stride,
    grad_image_stride, grad_class_stride, grad_row_stride, grad_column_stride,
    buckets, ignore_index,
    NUMBER: tl.constexpr, SCALE: tl.constexpr, LEVELS: tl.constexpr, FLAT: tl.constexpr,
    K: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    image = tl.program_id(1).to(tl.int64)
    pixel = tl.program_id(0) * B + tl.arange(0, B)
    inside = pixel < HW
    target = tl.load(label + image * HW + pixel, mask=inside, other=ignore_index)
    valid = target != ignore_index
    place = pixel_places(pixel, W, row_stride, column_stride, FLAT)
    grad_place = pixel_places(pixel, W, grad_row_stride, grad_column_stride, FLAT)
    base = logits + image * image_stride
    grad_base = grad + image * grad_image_stride
    largest, share = _soft_max(base, place, valid, target, class_stride, C, K, B)
    mean = tl.zeros((B,), tl.float32)
    for start in range(0, C, K):
        c = start + tl.arange(0, K)
        probability, bucket, is_own, mask = _read(
            base, place, class_stride, c, target, largest, share, valid, first, second,
            C, NUMBER, SCALE, LEVELS,
        )  # fmt: skip
        slope = tl.load(slopes + tl.where(is_own, buckets, 0) + bucket, mask=mask, other=0.0)
        mean += tl.sum(probability * slope, 0)
    for start in range(0, C, K):
        c = start + tl.arange(0, K)
        probability, bucket, is_own, mask = _read(
            base, place, class_stride, c, target, largest, share, valid, first, second,
            C, NUMBER, SCALE, LEVELS,
        )  # fmt: skip
        slope = tl.load(slopes + tl.where(is_own, buckets, 0) + bucket, mask=mask, other=0.0)
        pointers = grad_base + c.to(tl.int64)[:, None] * grad_class_stride + grad_place[None, :]
        value = probability * (slope - mean[None, :])
        tl.store(pointers, value, mask=(c < C)[:, None] & inside[None, :])
