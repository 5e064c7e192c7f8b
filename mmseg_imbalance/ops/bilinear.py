"""Bilinear resizing of a few rows at a time, and its transpose."""

import functools
import math
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor


class Bilinear:
    """Maps (C, h, w) to any rows of what ``F.interpolate(mode='bilinear')`` makes (C, H, W) of it.

    A row is a mixture of two rows, each of which is interpolated linearly. Back go the gradients
    by the transposed matrices. Other than PyTorch's own gradient on a GPU, products of matrices
    add up in the same order in every run; with TF32 allowed they are rounded to it.

    Args:
        size: h, w.
        new_size: H, W.
        align_corners: As in ``F.interpolate``.
        device: Where the maps are.
        dtype: Their dtype, or the one to compute in.
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
        """(C, h, w) → (C, len(rows), W)."""
        share = self._share[rows].movedim(0, 1)
        upper, lower = (low.index_select(1, tap).to(share.dtype) for tap in self._taps[:, rows])
        mixed = upper * (1 - share) + lower * share
        return F.interpolate(
            mixed, size=self._width, mode='linear', align_corners=self.align_corners
        )

    def add_down(self, grad: Tensor, rows: slice, total: Tensor) -> None:
        """Adds to ``total`` (C, h, w) what the gradient (C, len(rows), W) of rows is to it."""
        source = slice(self._upper[rows.start], self._lower[rows.stop - 1] + 1)
        with _full_precision(grad.device):
            total[:, source] += self._matrix[rows, source].T @ (grad @ self._columns)


@functools.lru_cache(maxsize=64)  # a training has one size or some
def bilinear(*args) -> Bilinear:
    """The :class:`Bilinear` of these arguments, made once."""
    return Bilinear(*args)


def neighbours(old: int, new: int, align_corners: bool) -> tuple[list[int], list[int], list[float]]:
    """For each new row the old ones above and below it, and the share of the latter."""
    inside = [max(place, 0) for place in places(old, new, align_corners)]
    upper = [min(math.floor(place), old - 1) for place in inside]
    lower = [min(above + 1, old - 1) for above in upper]
    return upper, lower, [place - above for place, above in zip(inside, upper, strict=True)]


def places(old: int, new: int, align_corners: bool) -> list[float]:
    """Where each new row lies between the old ones; before the first of them, below 0."""
    if align_corners:
        return [i * (old - 1) / max(new - 1, 1) for i in range(new)]
    return [(i + 0.5) * old / new - 0.5 for i in range(new)]


def _interpolation(old: int, new: int, align_corners: bool, dtype: torch.dtype) -> Tensor:
    """The matrix (new, old) of linear interpolation."""
    unit = torch.eye(old, dtype=dtype)[None]
    return F.interpolate(unit, size=new, mode='linear', align_corners=align_corners)[0].T


def _full_precision(device: torch.device):
    """Autocast would round products to half precision."""
    known = device.type in ('cpu', 'cuda')
    return torch.autocast(device.type, enabled=False) if known else nullcontext()
