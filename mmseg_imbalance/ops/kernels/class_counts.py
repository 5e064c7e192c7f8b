"""Counts of pixels, true positives and predicted pixels of every class in one launch."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from .available import device_of
from .shares import BLOCK, next_power_of_2, shares

_PROGRAMS = 528


def count(pred: Tensor, label: Tensor, num_classes: int, ignore_index: int) -> Tensor:
    """Computes ``ops.class_counts`` of contiguous ``pred`` and ``label``."""
    counts = torch.zeros(3, num_classes, dtype=torch.int64, device=label.device)
    pixels = label.numel()
    loops, programs = shares(pixels, _PROGRAMS)
    with device_of(label):
        _count_kernel[programs,](
            pred,
            label,
            counts,
            pixels,
            ignore_index,
            C=num_classes,
            BINS=next_power_of_2(num_classes + 1),
            LOOPS=loops,
            B=BLOCK,
            num_warps=4,
        )
    return counts


@triton.jit
def _count_kernel(
    preds, labels, counts, S, ignore_index,
    C: tl.constexpr, BINS: tl.constexpr, LOOPS: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    program = tl.program_id(0).to(tl.int64)
    of_label = tl.zeros((BINS,), tl.int32)
    of_hits = tl.zeros((BINS,), tl.int32)
    of_pred = tl.zeros((BINS,), tl.int32)
    for i in range(LOOPS):
        pixel = (program * LOOPS + i) * B + tl.arange(0, B)
        inside = pixel < S
        label = tl.load(labels + pixel, mask=inside, other=0).to(tl.int32)
        pred = tl.load(preds + pixel, mask=inside, other=0).to(tl.int32)
        valid = inside & (label != ignore_index)
        # pixels that do not count have a bin of their own
        of_label += tl.histogram(tl.where(valid, label, C), BINS)
        of_hits += tl.histogram(tl.where(valid & (label == pred), label, C), BINS)
        of_pred += tl.histogram(tl.where(valid, pred, C), BINS)
    bin = tl.arange(0, BINS)
    is_class = bin < C
    _add(counts + bin, of_label, is_class)
    _add(counts + C + bin, of_hits, is_class)
    _add(counts + 2 * C + bin, of_pred, is_class)


@triton.jit
def _add(pointers, counted, is_class):
    mask = is_class & (counted > 0)
    tl.atomic_add(pointers, counted.to(tl.int64), mask=mask, sem='relaxed')
