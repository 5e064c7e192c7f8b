"""A value of every class at the pixels of the class, in one launch."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from .available import device_of
from .shares import BLOCK, ceil_div


def spread(values: Tensor, label: Tensor) -> Tensor:
    """Computes ``ops.per_pixel`` of contiguous ``values`` and ``label``."""
    found = torch.empty(label.shape, dtype=values.dtype, device=label.device)
    pixels = label.numel()
    with device_of(label):
        _value_kernel[ceil_div(pixels, BLOCK),](
            values, label, found, pixels, C=len(values), B=BLOCK, num_warps=4
        )
    return found


@triton.jit
def _value_kernel(values, labels, found, S, C: tl.constexpr, B: tl.constexpr):
    pixel = tl.program_id(0).to(tl.int64) * B + tl.arange(0, B)
    label = tl.load(labels + pixel, mask=pixel < S, other=C)
    value = tl.load(values + label, mask=(label >= 0) & (label < C), other=0.0)
    tl.store(found + pixel, value, mask=pixel < S)
