r"""Lovász-Softmax without sorting, without a host sync and without stored probabilities.

M. Berman, A. Rannen Triki, M. B. Blaschko, *The Lovász-Softmax loss*, CVPR 2018, arXiv 1705.08790,
extend the Jaccard loss of a class from sets of wrong pixels to errors e = 1 - p (in the foreground,
pixels of the class) or e = p (in the background). The extension, equation 9, is an integral over
thresholds,

    L = ∫ J(t) dt,   J(t) = 1 - (G - FN) / (G + FP),

of the Jaccard loss of the pixels with e > t, where G counts the foreground, FN the foreground with
e > t and FP the background with e > t. The gradient with respect to an error is the step of J at
its rank. So counts are all that is needed, and a histogram of the errors has them, but for the
order within a bucket. The first histogram has equal buckets. Each further one divides the buckets
whose inner order matters, down to single float32 numbers where needed.

Pixels of one bucket share its steps. Let a bucket hold f foreground and n background pixels, and
U = G + FP as of the pixels above it. With the foreground first, its steps of J are 1 / U each, and
with the background first 1 / (U + n). The mean over both orders is, for a foreground pixel and for
a background pixel,

    (1 / U + 1 / (U + n)) / 2,    (G - FN - f / 2) / (U (U + n)),

and these add up to the whole step of J. For equal errors, where the order is free, this is the
subgradient.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .compiling import is_compiling
from .jaccard_steps import BucketCounts, divide
from .kernels import kernels_apply
from .mean_factors import mean_factors
from .row_stripes import (
    gradient_in_stripes,
    logits_of,
    resizing_of,
    row_stripes,
    working_dtype,
)
from .second_derivative import refuse_second_derivative
from .stripes import map_stripes

# Errors up to 1 are scaled to a little less than the number of buckets, so that rounding makes none
# of them a bucket above the last.
_SPAN = 1 - 2.0**-20
_CPU_PIXELS = 1 << 17  # of a stripe; every stripe reads the tables anew, so they should be smaller
_GPU_STRIPES = 8  # of resized logits: few, since each takes a dozen launches in every pass
# From this number of pixels on, float32 errors confuse more ranks than a single division does.
_MANY = 1 << 18


def lovasz_softmax(
    seg_logits: Tensor,
    seg_label: Tensor,
    ignore_index: int,
    classes: str | Sequence[int] = 'present',
    class_weight: Tensor | None = None,
    align_corners: bool | None = None,
) -> Tensor:
    """Computes the mean of the classes' Lovász extensions of the Jaccard loss, over all pixels.

    The logits are saved for the backward pass, which computes the soft-max again, with tables of a
    fraction of their size. Errors are float32: which of two pixels has the larger error is as
    exact as float32 numbers in [0, 1] tell, so that errors within 2^-24 of one another may share
    their gradient. Half-precision logits are processed in float32.

    Args:
        seg_logits: (N, C, H, W), or (N, C, h, w) with ``align_corners``; a floating dtype.
        seg_label: (N, H, W) int64, classes 0 … C - 1 or ``ignore_index``.
        ignore_index: Label of the pixels to leave out.
        classes: Which classes to take the mean over: ``'present'`` for those in the labels,
            ``'all'``, or some of 0 … C - 1. The loss of a class without pixels is its largest
            error.
        class_weight: (C,), factors of the classes' losses, which do not enter the divisor.
        align_corners: How to resize the logits to the labels' size, see
            :func:`pixel_cross_entropy`. None: no resizing.

    Returns:
        A scalar, float32, or float64 for float64 logits; 0 with a zero gradient if no pixel is
        valid, NaN if the logits of a valid pixel hold NaN or +inf.

    Raises:
        RuntimeError: In a backward pass with ``create_graph=True``.

    Example:
        >>> logits = torch.tensor([[0.0, 0.0, 0.0], [0.0, 1.0, -1.0]]).view(1, 2, 1, 3)
        >>> lovasz_softmax(logits, torch.tensor([[[1, 1, 0]]]), ignore_index=255)
        tensor(0.3845)
    """
    return _LovaszSoftmax.apply(
        seg_logits, seg_label, ignore_index, classes, class_weight, align_corners
    )


class _LovaszSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx, seg_logits, seg_label, ignore_index, classes, class_weight, align_corners
    ) -> Tensor:
        in_kernels = kernels_apply(seg_logits) and seg_label.numel() > 0
        read = _PixelsInKernels if in_kernels else _Pixels
        pixels = read(seg_logits, seg_label, ignore_index, align_corners)
        buckets, more, divisions = _sizes(seg_label.numel(), working_dtype(seg_logits))
        start = torch.arange(buckets, dtype=torch.float32, device=seg_label.device) / buckets
        start = start.expand(pixels.num_classes, buckets)
        width = torch.full_like(start, 1 / buckets)
        levels = _Buckets(buckets, [])
        counts, unknown = pixels.count(levels, buckets)
        for _ in range(divisions):
            first, start, width = divide(counts, start, width, more)
            levels.firsts.append(first)
            counts, unknown = pixels.count(levels, width.shape[1])
        factor = mean_factors(counts.foreground.any(1), classes, class_weight).float()
        factor = factor.masked_fill(unknown, torch.nan)
        upper, lower = counts.jaccard()
        losses = (upper + lower).mul_(width).sum(1, dtype=torch.float64) / (2 * _SPAN)
        steps = [(step * factor[:, None]).flatten() for step in counts.steps()]
        ctx.save_for_backward(seg_logits, seg_label, *steps, *levels.firsts)
        ctx.options = read, ignore_index, align_corners, buckets
        return (losses * factor).sum().to(working_dtype(seg_logits))

    @staticmethod
    def backward(ctx, grad_loss: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivative('lovasz_softmax')
        seg_logits, seg_label, foreground, background, *firsts = ctx.saved_tensors
        read, ignore_index, align_corners, buckets = ctx.options
        pixels = read(seg_logits, seg_label, ignore_index, align_corners)
        steps = (step * grad_loss.float() for step in (foreground, background))
        return pixels.gradient(_Buckets(buckets, firsts), *steps), *[None] * 5


def _sizes(pixels: int, dtype: torch.dtype) -> tuple[int, int, int]:
    """Returns how many buckets each class has at first, and gains by how many divisions."""
    bits = pixels.bit_length()
    first, more = min(max(bits - 5, 8), 15), min(max((bits + 14) // 2, 12), 16)
    return 1 << first, 1 << more, 1 if pixels >= _MANY and dtype == torch.float32 else 2


class _Pixels:
    """The pixels of a batch, read in stripes by several passes."""

    def __init__(self, seg_logits, seg_label, ignore_index, align_corners) -> None:
        self.seg_logits, self.seg_label, self.ignore_index = seg_logits, seg_label, ignore_index
        self.device, self.num_classes = seg_logits.device, seg_logits.shape[1]
        self.resizing = resizing_of(seg_logits, seg_label, align_corners)
        pixels = _CPU_PIXELS if self.device.type == 'cpu' else None
        if pixels and not is_compiling():  # a few stripes for each thread
            few = seg_label.numel() // (4 * torch.get_num_threads())
            pixels = min(_CPU_PIXELS, max(_CPU_PIXELS >> 5, few))
        self.stripes = list(row_stripes(seg_logits, seg_label, pixels))

    def count(self, buckets: '_Buckets', size: int) -> tuple[BucketCounts, Tensor]:
        """Counts the pixels in buckets (C, ``size``), and tells whether a loss is not a number."""
        pixels, threads = self.seg_label.numel(), 1
        # a table for each thread, but all no larger than the logits
        if self.device.type == 'cpu' and not is_compiling():
            threads = max(1, min(torch.get_num_threads(), pixels // (2 * size)))

        def count(stripes: list[tuple[int, slice]]) -> tuple[Tensor, Tensor]:
            table = torch.zeros(2, self.num_classes * size, dtype=torch.int32, device=self.device)
            unknown = torch.zeros((), dtype=torch.bool, device=self.device)
            for part in stripes:
                logits = logits_of(part, self.seg_logits, self.resizing)
                probability, label, place, valid, bad = self._read(part, logits)
                unknown |= bad
                errors, own = buckets.scaled(probability, place, valid, out=probability)
                own = buckets.of(own, label.int() * buckets.first).long()
                table[1].scatter_add_(0, own, valid.int())
                for _, bucket in buckets.by_class(errors):
                    # On a CPU, adding an expanded 1 takes nearly twice as long.
                    table[0].scatter_add_(0, bucket.long(), torch.ones_like(bucket))
            return table, unknown

        shares = [self.stripes[i::threads] for i in range(threads)]
        found = list(map_stripes(count, shares, self.device))
        everything, foreground = sum(table for table, _ in found).view(2, -1, size)
        background = everything - foreground
        # Ignored pixels were counted with error 0.
        background[:, 0] -= pixels - foreground.sum(dtype=torch.int32)
        unknown = torch.stack([bad for _, bad in found]).any()
        return BucketCounts.of(foreground, background), unknown

    def gradient(self, buckets: '_Buckets', foreground: Tensor, background: Tensor) -> Tensor:
        """Returns the gradient, given the slopes of the loss over the errors in each bucket."""

        def gradient_of(part: tuple[int, slice], logits: Tensor) -> Tensor:
            probability, label, place, valid, _ = self._read(part, logits)
            slope, own = buckets.scaled(probability, place, valid)
            own = buckets.of(own, label.int() * buckets.first)
            own = -foreground.index_select(0, own).to(slope.dtype)
            for classes, bucket in buckets.by_class(slope):  # an error is read once
                slope[classes] = background.index_select(0, bucket).view_as(slope[classes])
            slope.view(-1).scatter_(0, place, own)
            slope *= probability.mul_(valid)
            slope.addcmul_(probability, slope.sum(0), value=-1)
            return slope.view(logits.shape)

        return gradient_in_stripes(gradient_of, self.stripes, self.seg_logits, self.resizing)

    def _read(
        self, part: tuple[int, slice], logits: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Reads a stripe of P pixels.

        Returns:
            Probabilities (C, P); of the pixels (P,) the label, the place of its probability among
            all of them and whether it is valid; and whether a loss is not a number.
        """
        probability = F.softmax(logits, 0, dtype=working_dtype(logits)).flatten(1)
        label = self.seg_label[part].flatten()
        valid = label != self.ignore_index
        unknown = probability[0].isnan()  # the soft-max is NaN for all classes or none
        # On a CPU checking is quicker than writing.
        if self.device.type != 'cpu' or is_compiling() or unknown.any():
            probability.masked_fill_(unknown, 0)
        label = label.masked_fill(~valid, 0)
        place = label.long() * len(label) + torch.arange(len(label), device=label.device)
        return probability, label, place, valid, (unknown & valid).any()


class _PixelsInKernels:
    """The pixels of a batch on a GPU, read at once, or in stripes if logits are resized."""

    def __init__(self, seg_logits, seg_label, ignore_index, align_corners) -> None:
        self.seg_logits, self.seg_label = seg_logits, seg_label.contiguous()
        self.ignore_index = int(ignore_index)
        self.num_classes = seg_logits.shape[1]
        self.resizing = resizing_of(seg_logits, seg_label, align_corners)

    def count(self, buckets: '_Buckets', size: int) -> tuple[BucketCounts, Tensor]:
        """Counts the pixels, see :meth:`_Pixels.count`."""
        from .kernels import lovasz

        ints = dict(dtype=torch.int32, device=self.seg_label.device)
        counts = torch.zeros(2, self.num_classes, size, **ints)
        unknown = torch.zeros((), **ints)
        options = self.ignore_index, buckets.first, buckets.scale, buckets.firsts
        if self.resizing is None:
            lovasz.count(self.seg_logits, self.seg_label, *options, counts, unknown)
        else:
            for part in self._stripes():
                logits = logits_of(part, self.seg_logits, self.resizing)[None]
                lovasz.count(logits, self.seg_label[part][None], *options, counts, unknown)
        background, foreground = counts
        own = foreground.sum(1, dtype=torch.int32)
        # The kernel leaves out the background in a class's first bucket.
        background[:, 0] = own.sum(dtype=torch.int32) - own - background.sum(1, dtype=torch.int32)
        return BucketCounts.of(foreground, background), unknown > 0

    def gradient(self, buckets: '_Buckets', foreground: Tensor, background: Tensor) -> Tensor:
        """Returns the gradient, see :meth:`_Pixels.gradient`."""
        from .kernels import lovasz

        slopes = torch.stack([background, -foreground])
        options = self.ignore_index, buckets.first, buckets.scale, buckets.firsts, slopes
        if self.resizing is None:
            return lovasz.gradient(self.seg_logits, self.seg_label, *options)

        def gradient_of(part: tuple[int, slice], logits: Tensor) -> Tensor:
            return lovasz.gradient(logits[None], self.seg_label[part][None], *options)[0]

        return gradient_in_stripes(
            gradient_of, self._stripes(), self.seg_logits, self.resizing, on_threads=False
        )

    def _stripes(self) -> Iterator[tuple[int, slice]]:
        pixels = self.seg_label.numel() // _GPU_STRIPES
        return row_stripes(self.seg_logits, self.seg_label, pixels)


class _Buckets(NamedTuple):
    """Where errors belong: ``first`` equal buckets of each class, divided again and again."""

    first: int
    firsts: list[Tensor]

    @property
    def scale(self) -> float:
        """Factor of errors, whose whole part is then the first bucket."""
        return self.first * _SPAN

    def scaled(
        self, probability: Tensor, place: Tensor, valid: Tensor, out: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Returns the errors of all classes (C, P) and of the label (P,), in first buckets."""
        factor = valid.to(probability.dtype) * self.scale
        # The soft-max may round to more than 1.
        own = (1 - probability.view(-1).index_select(0, place)).clamp_(min=0) * factor
        errors = torch.mul(probability, factor, out=out)
        errors.view(-1).scatter_(0, place, own)
        return errors, own

    def by_class(self, errors: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Yields the buckets (…,) int32 of scaled errors (C, P) for some classes at a time."""
        num_classes = len(errors)
        row = torch.arange(num_classes, dtype=torch.int32, device=errors.device) * self.first
        # The tables of one class fit the caches of a CPU's core.
        step = 1 if errors.device.type == 'cpu' else max(1, num_classes)
        for start in range(0, num_classes, step):
            classes = slice(start, start + step)
            yield classes, self.of(errors[classes], row[classes, None])

    def of(self, errors: Tensor, row: Tensor) -> Tensor:
        """Returns the bucket of each scaled error, flat, numbered over all classes."""
        bucket, inner = errors.int().add_(row).view(-1), errors.view(-1)
        for first in self.firsts:
            start = first.index_select(0, bucket)
            parts = first.index_select(0, bucket.add_(1)).sub_(start)
            inner = inner.frac().mul_(parts)
            bucket = start.add_(inner.int())
        return bucket
