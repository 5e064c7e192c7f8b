"""Bilinear resizing of a few rows at a time, and its transpose."""

import functools
import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import _get_current_dispatch_mode

from .full_precision import full_precision


class Bilinear:
    """Computes any rows of ``F.interpolate(mode='bilinear')`` from (C, h, w) to (C, H, W).

    A new row mixes two old rows, each interpolated linearly. Gradients are mapped back with the
    transposed matrices. Unlike PyTorch's own gradient on a GPU, these matrix products add up in
    the same order in every run; where TF32 is allowed, they are rounded to it.

    Args:
        size: h, w.
        new_size: H, W.
        align_corners: As in ``F.interpolate``.
        device: Device of the maps.
        dtype: Dtype of the computation.
    """

    def __init__(
        self,
        size: tuple[int, int],
        new_size: tuple[int, int],
        align_corners: bool,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.align_corners = align_corners
        self._width = new_size[1]
        self._upper, self._lower, share = neighbours(size[0], new_size[0], align_corners)
        self._share = torch.tensor(share, dtype=dtype)[:, None, None].to(device)
        self._taps = torch.tensor([self._upper, self._lower]).to(device)
        self._matrix, self._columns = (
            _interpolation(old, new, align_corners, dtype).to(device)
            for old, new in zip(size, new_size, strict=True)
        )

    def up(self, low: Tensor, rows: slice) -> Tensor:
        """Upsamples (C, h, w) to the rows (C, len(rows), W)."""
        share = self._share[rows].movedim(0, 1)
        upper, lower = (low.index_select(1, tap).to(share.dtype) for tap in self._taps[:, rows])
        mixed = upper * (1 - share) + lower * share
        return F.interpolate(
            mixed, size=self._width, mode='linear', align_corners=self.align_corners
        )

    def down(self, grad: Tensor, rows: slice) -> tuple[slice, Tensor]:
        """Maps the gradient (C, len(rows), W) back, to old rows and their gradient (C, …, w)."""
        source = slice(self._upper[rows.start], self._lower[rows.stop - 1] + 1)
        with full_precision(grad.device):
            return source, self._matrix[rows, source].T @ (grad @ self._columns)


def bilinear(*args) -> Bilinear:
    """Returns the cached :class:`Bilinear` of these arguments."""
    # Under a dispatch mode its tensors may be fake.
    return Bilinear(*args) if _get_current_dispatch_mode() else _cached(*args)


_cached = functools.lru_cache(maxsize=64)(Bilinear)  # a training has one or a few sizes


def neighbours(old: int, new: int, align_corners: bool) -> tuple[list[int], list[int], list[float]]:
    """Returns each new row's old rows above and below, and the share of the one below."""
    inside = [max(place, 0) for place in places(old, new, align_corners)]
    upper = [min(math.floor(place), old - 1) for place in inside]
    lower = [min(above + 1, old - 1) for above in upper]
    return upper, lower, [place - above for place, above in zip(inside, upper, strict=True)]


def places(old: int, new: int, align_corners: bool) -> list[float]:
    """Returns each new row's position among the old ones, below 0 before the first one."""
    if align_corners:
        return [i * (old - 1) / max(new - 1, 1) for i in range(new)]
    return [(i + 0.5) * old / new - 0.5 for i in range(new)]


def _interpolation(old: int, new: int, align_corners: bool, dtype: torch.dtype) -> Tensor:
    """Returns the matrix (new, old) of linear interpolation."""
    unit = torch.eye(old, dtype=dtype)[None]
    return F.interpolate(unit, size=new, mode='linear', align_corners=align_corners)[0].T
