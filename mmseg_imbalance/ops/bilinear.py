"""Bilinear upsampling of a few rows at a time, and its transpose."""

import functools
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor


class Bilinear:
    """Maps (C, h, w) to any rows of what ``F.interpolate(mode='bilinear')`` makes (C, H, W) of it.

    Bilinear interpolation is linear interpolation of the rows, then of the columns: two small
    matrices, whose transposes carry the gradient back. Unlike PyTorch's own gradient on a GPU that
    is the same in every run.

    Args:
        size: h, w.
        new_size: H, W.
        align_corners: As in ``F.interpolate``.
        device: Where the maps are.
        dtype: Their dtype.
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
        rows, columns = (
            _interpolation(old, new, align_corners, dtype)
            for old, new in zip(size, new_size, strict=True)
        )
        # The rows that a row is made of are neighbours: from the first to behind the last of them.
        self._first = [int(row.nonzero()[0]) for row in rows]
        self._behind = [int(row.nonzero()[-1]) + 1 for row in rows]
        self._rows, self._columns = rows.to(device), columns.to(device)

    def up(self, low: Tensor, rows: slice) -> Tensor:
        """(C, h, w) → (C, len(rows), W)."""
        weight, source = self._part(rows)
        with self._full_precision():
            mixed = weight @ low[:, source].to(weight.dtype)
        width = len(self._columns)
        return F.interpolate(mixed, size=width, mode='linear', align_corners=self.align_corners)

    def add_down(self, grad: Tensor, rows: slice, total: Tensor) -> None:
        """Adds to ``total`` (C, h, w) what the gradient (C, len(rows), W) of rows is to it."""
        weight, source = self._part(rows)
        with self._full_precision():
            total[:, source] += weight.T @ (grad @ self._columns)

    def _full_precision(self):
        """Autocast would round the products to half precision."""
        device = self._rows.device.type
        return torch.autocast(device, enabled=False) if device in ('cpu', 'cuda') else nullcontext()

    def _part(self, rows: slice) -> tuple[Tensor, slice]:
        source = slice(self._first[rows.start], self._behind[rows.stop - 1])
        return self._rows[rows, source], source


@functools.lru_cache(maxsize=16)  # a training has one size or a few
def bilinear(*args) -> Bilinear:
    """The :class:`Bilinear` of these arguments, made once."""
    return Bilinear(*args)


def _interpolation(old: int, new: int, align_corners: bool, dtype: torch.dtype) -> Tensor:
    """The matrix (new, old) of linear interpolation."""
    unit = torch.eye(old, dtype=dtype)[None]
    return F.interpolate(unit, size=new, mode='linear', align_corners=align_corners)[0].T
