"""Cross-entropy of logits that are upsampled pixel by pixel, and the gradient of the small logits.

No tensor has the size of the upsampled logits: apart from the pixel losses, the largest one is
four times as large as the small logits, in float32. Pixels between the same four small logits form
a cell. The backward pass adds up the gradients of each cell's four corners, and then those of the
four cells around each logit. No two programs add to the same number, so the order of summation is
fixed.
"""

import functools
import math
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..bilinear import neighbours, places
from .available import device_of
from .score import (
    add_shift,
    online_prediction,
    online_soft_max,
    pixel_gradient,
    pixel_loss,
)
from .shares import ceil_div

_PIXELS = 128  # per program in the forward pass
_CLASSES = 1  # at a time in the forward pass, which holds four corners of each
_CELLS = 64  # per program in the backward pass
_CELL_CLASSES = 4  # per program in the backward pass
_LOGITS = 1024  # per program that adds up cells
_WARPS = 4


class Axis(NamedTuple):
    """How one side is resized from ``old`` to ``new``.

    Attributes:
        first: (new,) int32, the old place before each new one.
        second: (new,) int32, the old place after each new one.
        share: (new,) float32, share of the second in the mixture.
        start: (old + 2,) int32, the first new place of each cell, then ``new``. Cell i lies before
            the old place i; the first and the last cell lie beyond the outermost places.
        span: Largest number of new places in a cell.
    """

    first: Tensor
    second: Tensor
    share: Tensor
    start: Tensor
    span: int


def score(
    logits: Tensor,
    label: Tensor,
    shift: Tensor | None,
    ignore_index: int,
    align_corners: bool,
    pred: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Computes pixel losses, and the logarithm of the soft-max's divisor.

    Args:
        logits: (N, C, h, w), any strides.
        label: (N, H, W) int64, contiguous.
        shift: (C,) float32, or None.
        ignore_index: Label of the pixels to leave out.
        align_corners: As in ``F.interpolate``.
        pred: Output for the predicted classes, (N, H, W) of an integer dtype, or None.

    Returns:
        Losses (N, H, W) float32, NaN for a label out of range; logarithms (N, H, W) float32.
    """
    loss = torch.empty(label.shape, dtype=torch.float32, device=label.device)
    log_sum = torch.empty_like(loss)
    rows, columns = _axes(logits, label, align_corners)
    num_classes, width, pixels = logits.shape[1], label.shape[2], label[0].numel()
    with device_of(logits):
        _score_kernel[ceil_div(pixels, _PIXELS), label.shape[0]](
            logits,
            label,
            shift,
            loss,
            pred,
            log_sum,
            *rows[:3],
            *columns[:3],
            width,
            pixels,
            *logits.stride(),
            ignore_index,
            C=num_classes,
            K=_CLASSES,
            B=_PIXELS,
            num_warps=_WARPS,
        )
    return loss, log_sum


def gradient(
    logits: Tensor,
    label: Tensor,
    shift: Tensor | None,
    ignore_index: int,
    align_corners: bool,
    log_sum: Tensor,
    grad_loss: Tensor,
) -> Tensor:
    """Computes the gradient of :func:`score`'s losses times ``grad_loss``.

    Args:
        logits: As in ``score``.
        label: As in ``score``.
        shift: As in ``score``.
        ignore_index: As in ``score``.
        align_corners: As in ``score``.
        log_sum: Second result of ``score``.
        grad_loss: (N, H, W) float32, contiguous.

    Returns:
        (N, C, h, w), in the dtype of the logits.
    """
    grad = torch.empty_like(logits)
    rows, columns = _axes(logits, label, align_corners)
    images, num_classes, height, width = logits.shape
    cells = (height + 1) * (width + 1)
    corners = torch.empty(4, images, num_classes, cells, dtype=torch.float32, device=logits.device)
    grid = ceil_div(cells, _CELLS), ceil_div(num_classes, _CELL_CLASSES), images
    with device_of(logits):
        _cell_kernel[grid](
            logits,
            label,
            shift,
            log_sum,
            grad_loss,
            corners,
            rows.share,
            rows.start,
            columns.share,
            columns.start,
            height,
            width,
            *label.shape[1:],
            corners[0].numel(),
            *logits.stride(),
            ignore_index,
            C=num_classes,
            ROWS=rows.span,
            COLUMNS=columns.span,
            K=_CELL_CLASSES,
            B=_CELLS,
            num_warps=_WARPS,
        )
        _corner_kernel[ceil_div(height * width, _LOGITS), num_classes, images](
            corners,
            grad,
            height,
            width,
            num_classes,
            corners[0].numel(),
            *grad.stride(),
            B=_LOGITS,
            num_warps=_WARPS,
        )
    return grad


def _axes(logits: Tensor, label: Tensor, align_corners: bool) -> list[Axis]:
    sizes = zip(logits.shape[2:], label.shape[1:], strict=True)
    return [_axis(old, new, align_corners, logits.device) for old, new in sizes]


@functools.lru_cache(maxsize=1024)  # small tables, but their copies wait for the device
def _axis(old: int, new: int, align_corners: bool, device: torch.device) -> Axis:
    first, second, share = neighbours(old, new, align_corners)
    taps = torch.tensor([first, second], dtype=torch.int32)
    cell = torch.tensor([math.floor(place) + 1 for place in places(old, new, align_corners)])
    start = torch.searchsorted(cell, torch.arange(old + 2))
    span = int(start.diff().max())
    shares = torch.tensor(share, dtype=torch.float32)
    return Axis(*taps.to(device), shares.to(device), start.int().to(device), span)


@triton.jit
def _mixed(
    base, c, class_place, inside, top, bottom, left, right, down, across, column_stride,
    C: tl.constexpr,
):  # fmt: skip
    """Computes a tile (K, B) of upsampled logits in float32, -inf outside."""
    mask = (c < C)[:, None] & inside[None, :]
    place = class_place[:, None]
    left = left.to(tl.int64) * column_stride
    right = right.to(tl.int64) * column_stride
    x00 = tl.load(base + (place + (top + left)[None, :]), mask=mask, other=0.0).to(tl.float32)
    x01 = tl.load(base + (place + (top + right)[None, :]), mask=mask, other=0.0).to(tl.float32)
    x10 = tl.load(base + (place + (bottom + left)[None, :]), mask=mask, other=0.0).to(tl.float32)
    x11 = tl.load(base + (place + (bottom + right)[None, :]), mask=mask, other=0.0).to(tl.float32)
    down = down[None, :]
    across = across[None, :]
    before = x00 * (1 - down) + x10 * down
    after = x01 * (1 - down) + x11 * down
    z = before * (1 - across) + after * across
    return tl.where(mask, z, -float('inf'))


@triton.jit
def _score_kernel(
    logits, label, shift, loss, pred, log_sum,
    tops, bottoms, downs, lefts, rights, acrosses, W, HW,
    image_stride, class_stride, row_stride, column_stride, ignore_index,
    C: tl.constexpr, K: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    image = tl.program_id(1).to(tl.int64)
    pixel = tl.program_id(0) * B + tl.arange(0, B)
    inside = pixel < HW
    at = image * HW + pixel
    target = tl.load(label + at, mask=inside, other=0)
    row = pixel // W
    column = pixel % W
    top = tl.load(tops + row, mask=inside, other=0).to(tl.int64) * row_stride
    bottom = tl.load(bottoms + row, mask=inside, other=0).to(tl.int64) * row_stride
    down = tl.load(downs + row, mask=inside, other=0.0)
    left = tl.load(lefts + column, mask=inside, other=0)
    right = tl.load(rights + column, mask=inside, other=0)
    across = tl.load(acrosses + column, mask=inside, other=0.0)
    base = logits + image * image_stride

    largest = tl.full((B,), -float('inf'), tl.float32)
    total = tl.zeros((B,), tl.float32)
    own = tl.zeros((B,), tl.float32)
    best = largest
    first = tl.zeros((B,), tl.int32)
    for start in range(0, C, K):
        c = start + tl.arange(0, K)
        class_place = c.to(tl.int64) * class_stride
        z = _mixed(
            base, c, class_place, inside, top, bottom, left, right, down, across, column_stride, C
        )
        if pred is not None:
            best, first = online_prediction(z, c, best, first, C)
        if shift is not None:
            z = add_shift(z, shift, c, C)
        largest, total, own = online_soft_max(z, c, target, largest, total, own)

    tl.store(loss + at, pixel_loss(largest, total, own, target, ignore_index, C), mask=inside)
    tl.store(log_sum + at, largest + tl.log(total), mask=inside)
    if pred is not None:
        tl.store(pred + at, first, mask=inside)


@triton.jit
def _corner(base, row, column, c, row_stride, column_stride, class_stride, mask):
    place = row.to(tl.int64) * row_stride + column.to(tl.int64) * column_stride
    pointers = base + (c.to(tl.int64)[:, None] * class_stride + place[None, :])
    return tl.load(pointers, mask=mask, other=0.0).to(tl.float32)


@triton.jit
def _cell_kernel(
    logits, label, shift, log_sum, grad_loss, corners,
    downs, row_starts, acrosses, column_starts, h, w, H, W, of_corner,
    image_stride, class_stride, row_stride, column_stride, ignore_index,
    C: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, K: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    image = tl.program_id(2).to(tl.int64)
    cell = tl.program_id(0) * B + tl.arange(0, B)
    cells = (h + 1) * (w + 1)
    inside = cell < cells
    c = tl.program_id(1) * K + tl.arange(0, K)
    mask = (c < C)[:, None] & inside[None, :]
    cell_row = cell // (w + 1)
    cell_column = cell % (w + 1)
    top = tl.maximum(cell_row - 1, 0)
    bottom = tl.minimum(cell_row, h - 1)
    left = tl.maximum(cell_column - 1, 0)
    right = tl.minimum(cell_column, w - 1)
    base = logits + image * image_stride
    x00 = _corner(base, top, left, c, row_stride, column_stride, class_stride, mask)
    x01 = _corner(base, top, right, c, row_stride, column_stride, class_stride, mask)
    x10 = _corner(base, bottom, left, c, row_stride, column_stride, class_stride, mask)
    x11 = _corner(base, bottom, right, c, row_stride, column_stride, class_stride, mask)
    first_row = tl.load(row_starts + cell_row, mask=inside, other=0)
    last_row = tl.load(row_starts + cell_row + 1, mask=inside, other=0)
    first_column = tl.load(column_starts + cell_column, mask=inside, other=0)
    last_column = tl.load(column_starts + cell_column + 1, mask=inside, other=0)

    if shift is not None:
        added = tl.load(shift + c, mask=c < C, other=0.0)[:, None]
    g00 = tl.zeros((K, B), tl.float32)
    g01 = tl.zeros((K, B), tl.float32)
    g10 = tl.zeros((K, B), tl.float32)
    g11 = tl.zeros((K, B), tl.float32)
    for i in range(ROWS):
        row = first_row + i
        here = row < last_row
        down = tl.load(downs + row, mask=here, other=0.0)[None, :]
        before = x00 * (1 - down) + x10 * down
        after = x01 * (1 - down) + x11 * down
        if shift is not None:
            before += added
            after += added
        of_before = tl.zeros((K, B), tl.float32)
        of_after = tl.zeros((K, B), tl.float32)
        line = (image * H + row) * W
        for j in range(COLUMNS):
            column = first_column + j
            seen = here & (column < last_column)
            at = line + column
            across = tl.load(acrosses + column, mask=seen, other=0.0)[None, :]
            target = tl.load(label + at, mask=seen, other=ignore_index)
            factor = tl.load(grad_loss + at, mask=seen, other=0.0)
            log_total = tl.load(log_sum + at, mask=seen, other=0.0)
            z = before * (1 - across) + after * across
            probability = tl.exp(z - log_total[None, :])
            value = pixel_gradient(probability, c, target, factor, ignore_index, C)
            of_before += value * (1 - across)
            of_after += value * across
        g00 += of_before * (1 - down)
        g10 += of_before * down
        g01 += of_after * (1 - down)
        g11 += of_after * down

    # Beyond the outermost logits, both corners of a side are the same logit, which gets everything.
    is_first = (cell_row == 0)[None, :]
    is_last = (cell_row == h)[None, :]
    g10 += tl.where(is_first, g00, 0.0)
    g11 += tl.where(is_first, g01, 0.0)
    g00 += tl.where(is_last, g10, 0.0)
    g01 += tl.where(is_last, g11, 0.0)
    is_first = (cell_column == 0)[None, :]
    is_last = (cell_column == w)[None, :]
    g01 += tl.where(is_first, g00, 0.0)
    g11 += tl.where(is_first, g10, 0.0)
    g00 += tl.where(is_last, g01, 0.0)
    g10 += tl.where(is_last, g11, 0.0)
    pointers = corners + (image * C + c.to(tl.int64)[:, None]) * cells + cell[None, :]
    tl.store(pointers, g00, mask=mask)
    pointers += of_corner  # added one at a time: 3 * of_corner may exceed 2^31
    tl.store(pointers, g01, mask=mask)
    pointers += of_corner
    tl.store(pointers, g10, mask=mask)
    pointers += of_corner
    tl.store(pointers, g11, mask=mask)


@triton.jit
def _corner_kernel(
    corners, grad, h, w, C, of_corner, image_stride, class_stride, row_stride, column_stride,
    B: tl.constexpr,
):  # fmt: skip
    c = tl.program_id(1)
    image = tl.program_id(2).to(tl.int64)
    place = tl.program_id(0) * B + tl.arange(0, B)
    inside = place < h * w
    row = place // w
    column = place % w
    cells = corners + (image * C + c) * (h + 1) * (w + 1)
    cell = row * (w + 1) + column  # the cell above and to the left of this logit
    below = cell + w + 1
    total = tl.load(cells + below + 1, mask=inside, other=0.0)
    cells += of_corner
    total += tl.load(cells + below, mask=inside, other=0.0)
    cells += of_corner
    total += tl.load(cells + cell + 1, mask=inside, other=0.0)
    cells += of_corner
    total += tl.load(cells + cell, mask=inside, other=0.0)
    own = row.to(tl.int64) * row_stride + column.to(tl.int64) * column_stride
    own += image * image_stride + c.to(tl.int64) * class_stride
    tl.store(grad + own, total, mask=inside)
