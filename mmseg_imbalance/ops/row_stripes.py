"""Stripes of logits, some rows of an image each; smaller logits are resized on the fly."""

from collections.abc import Iterator

import torch
from torch import Tensor

from .bilinear import Bilinear, bilinear
from .stripes import stripe_elements


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


def working_dtype(logits: Tensor) -> torch.dtype:
    """Returns the dtype to compute in: float64 for float64 logits, else float32."""
    return torch.float64 if logits.dtype == torch.float64 else torch.float32
