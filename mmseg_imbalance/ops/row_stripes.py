"""Stripes of logits, some rows of an image each; smaller logits are resized on the fly."""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from .bilinear import Bilinear, bilinear
from .stripes import map_stripes, stripe_elements


def row_stripes(
    seg_logits: Tensor, seg_label: Tensor, pixels: int | None = None
) -> Iterator[tuple[int, slice]]:
    """Cuts a batch into stripes, the number of an image and some of its rows.

    Args:
        seg_logits: (N, C, …), of any size.
        seg_label: (N, H, W), whose rows are meant.
        pixels: How many pixels a stripe has, about; None: as suits the device.
    """
    images, height, width = seg_label.shape
    row = max(1, seg_logits.shape[1] * width)
    if pixels is None:
        step = max(1, stripe_elements(seg_logits.device, images * height * row) // row)
    else:
        step = max(1, pixels // max(1, width))
    for image in range(images):
        for start in range(0, height, step):
            yield image, slice(start, min(start + step, height))


def logits_of(part: tuple[int, slice], seg_logits: Tensor, resizing: Bilinear | None) -> Tensor:
    """Returns the logits (C, len(rows), W) of a stripe, with ``resizing`` those of smaller maps."""
    image, rows = part
    return seg_logits[image, :, rows] if resizing is None else resizing.up(seg_logits[image], rows)


def resizing_of(
    seg_logits: Tensor, seg_label: Tensor, align_corners: bool | None
) -> Bilinear | None:
    """Returns how logits (N, C, h, w) are resized to the labels (N, H, W); None: not at all."""
    if align_corners is None:
        return None
    size, new_size = tuple(seg_logits.shape[2:]), tuple(seg_label.shape[1:])
    return bilinear(size, new_size, align_corners, seg_logits.device, working_dtype(seg_logits))


def gradient_in_stripes(
    gradient_of: Callable[[tuple[int, slice], Tensor], Tensor],
    stripes: Iterable[tuple[int, slice]],
    seg_logits: Tensor,
    resizing: Bilinear | None,
    on_threads: bool = True,
) -> Tensor:
    """Returns the gradient of the logits (N, C, …), put together from that of each stripe.

    Args:
        gradient_of: Called with a stripe and its logits (C, rows, W), on a CPU by several threads
            at once; returns the gradient of these logits.
        stripes: From :func:`row_stripes`.
        seg_logits: (N, C, H, W), or smaller ones with ``resizing``.
        resizing: See :func:`resizing_of`.
        on_threads: See :func:`map_stripes`.
    """
    dtype = working_dtype(seg_logits)
    if resizing is None:
        grad = torch.empty_like(seg_logits)
    else:
        grad = torch.zeros_like(seg_logits, dtype=dtype)

    def gradient_of_stripe(part: tuple[int, slice]) -> tuple[int, slice, Tensor] | None:
        image, rows = part
        piece = gradient_of(part, logits_of(part, seg_logits, resizing))
        if resizing is not None:
            return image, *resizing.down(piece, rows)
        grad[image, :, rows] = piece
        return None

    for part in map_stripes(gradient_of_stripe, stripes, seg_logits.device, on_threads):
        if part is not None:  # stripes share rows of smaller logits, so they are added in order
            image, rows, piece = part
            grad[image, :, rows] += piece
    return grad.to(seg_logits.dtype)


def working_dtype(logits: Tensor) -> torch.dtype:
    """Returns the dtype to compute in: float64 for float64 logits, else float32."""
    return torch.float64 if logits.dtype == torch.float64 else torch.float32
