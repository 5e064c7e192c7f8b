"""The weights of loss max-pooling in six launches; ``ops/max_pooling.py`` has the mathematics.

Four histograms confine α to ever narrower brackets. Each launch first solves for α on the
histogram of the previous launch. Every program does so for itself, so that none waits for another.
Counts are integers and sums are added in a fixed order, so results do not depend on the order in
which programs run.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from .available import device_of
from .shares import BLOCK, next_power_of_2, shares

# A bucket holds 2^shift neighbouring float32 numbers. Rounding a loss down to its bucket reduces it
# by less than 2^-1, 2^-9 and 2^-16 of itself, which is 342, 256 and 256 buckets of the next round.
_SHIFTS = (22, 14, 7, 0)
_BINS = 512  # the first counts losses below the bracket, the last those above it
_PROGRAMS = 528  # in total, if there is enough work: four for each core of a large GPU
_INFINITY = tl.constexpr(0x7F800000)  # bit pattern of infinity
_TINY = tl.constexpr(1.1754943508222875e-38)  # the smallest normal float32 number
_MOST = tl.constexpr(3.4028234663852886e38)  # the largest finite float32 number
# A relative error in ℓ/α grows q-fold in its power: from this q on, powers are float64.
_STEEP = 4


def weights(pixel_loss: Tensor, valid: Tensor, p: float, ratio: float) -> Tensor:
    """Computes the weights (G, S) for 1 ≤ p < inf; see ``ops.max_pooling_weights``.

    Args:
        pixel_loss: (G, S) float32, contiguous.
        valid: (G, S) bool, contiguous.
        p: Norm of the weights; 1, or distinct from 1 in float64.
        ratio: m / n in (0, 1).
    """
    groups, pixels = pixel_loss.shape
    loops, programs = shares(pixels, _PROGRAMS, groups)
    rounds = len(_SHIFTS)
    zeros = torch.zeros(
        groups * (rounds * _BINS + 1), dtype=torch.int32, device=pixel_loss.device
    )  # all in one launch
    counts, n = zeros[:-groups], zeros[-groups:]
    starts = torch.empty_like(zeros[: rounds * groups])
    units = torch.empty(rounds * groups, dtype=torch.float64, device=pixel_loss.device)
    sums = units.new_empty(rounds * groups * programs)
    weight = torch.empty_like(pixel_loss)
    valid = valid.view(torch.uint8)
    q = 0.0 if p == 1 else p / (p - 1)
    with device_of(pixel_loss):
        for i in range(rounds + 1):
            _round_kernel[(programs, groups)](
                pixel_loss,
                valid,
                weight,
                counts,
                n,
                starts,
                units,
                sums,
                pixels,
                groups,
                programs,
                ROUND=i,
                SHIFT=_SHIFTS[i] if i < rounds else 0,
                LAST_SHIFT=_SHIFTS[i - 1] if i else 0,
                IS_LAST=i == rounds,
                P=float(p),
                Q=float(q),
                STEEP=q >= _STEEP,
                RATIO=float(ratio),
                BINS=_BINS,
                PARTIALS=next_power_of_2(programs),
                LOOPS=loops,
                B=BLOCK,
                num_warps=4,
            )
    return weight


@triton.jit
def _log2(x):
    """Returns log2(x), -inf if x is not positive."""
    return tl.where(x > 0, tl.log2(tl.where(x > 0, x, 1.0)), -float('inf'))


@triton.jit
def _log2_add(a, b):
    most = tl.maximum(a, b)
    least = tl.minimum(a, b)
    difference = tl.where(least == -float('inf'), -float('inf'), least - most)
    return most + tl.log2(1 + tl.exp2(difference))


@triton.jit
def _bucket_values(start, SHIFT: tl.constexpr, bin):
    """The smallest loss of each bucket in float64, inf from infinity's bit pattern on."""
    # values of bins that are not buckets are not used
    bits = start.to(tl.int64) + (tl.maximum(bin - 1, 0).to(tl.int64) << SHIFT)
    bits = tl.minimum(bits, _INFINITY)
    return bits.to(tl.int32).to(tl.float32, bitcast=True).to(tl.float64)


@triton.jit
def _solve(
    counts, start, sum_below, unit, m,
    Q: tl.constexpr, SHIFT: tl.constexpr, STEEP: tl.constexpr, BINS: tl.constexpr,
):  # fmt: skip
    """Solves Σ min(ℓ/α, 1)^q = m for α in float64; see ``_solve`` in ``ops/max_pooling.py``.

    Bin i stands for the case that the losses from this bin on reach α. Sums over the losses that
    do not reach α end with the bin before it. ``sum_below`` is the sum of (ℓ/unit)^q over the
    losses below the bracket.
    """
    bin = tl.arange(0, BINS)
    before = bin - 1
    count = tl.load(counts + before, mask=bin > 0, other=0)
    last = tl.load(counts + BINS - 1)
    reaching = tl.sum(count, 0) + last - tl.cumsum(count, 0)
    log_value = _log2(_bucket_values(start, SHIFT, before))
    log_limit = _log2(_bucket_values(start, SHIFT, bin))
    is_counted = (bin > 1) & (count > 0)
    number = tl.where(is_counted, count, 1).to(tl.float64)
    room = m - reaching
    if STEEP:  # powers may overflow, so take logarithms of the sums
        below = _log2(sum_below) + Q * _log2(unit)
        power = tl.where(is_counted, tl.log2(number) + Q * log_value, -float('inf'))
        power = tl.where(bin == 1, below, power)
        total = tl.associative_scan(power, 0, _log2_add) - _log2(room)
        limit = Q * log_limit
        log_alpha = total / Q
    else:  # (2^-126)^q and (2^128)^q fit into float64
        below = sum_below * tl.exp2(Q * _log2(unit))
        power = tl.where(is_counted, number * tl.exp2(Q * log_value), 0.0)
        total = tl.cumsum(tl.where(bin == 1, below, power), 0) / tl.where(room > 0, room, 1.0)
        limit = tl.exp2(Q * log_limit)
        log_alpha = _log2(total) / Q
    holds = (bin > 0) & (room > 0) & ((total <= limit) | (bin == BINS - 1))
    first = tl.min(tl.where(holds, bin, BINS - 1), 0)
    return tl.exp2(tl.sum(tl.where(bin == first, log_alpha, 0.0), 0))


@triton.jit
def _threshold(counts, start, m, SHIFT: tl.constexpr, BINS: tl.constexpr):
    """For p = 1: the least bit pattern in the m-th largest loss's bucket.

    It also returns how many losses are in and above the bucket.
    """
    bin = tl.arange(0, BINS)
    count = tl.load(counts + bin)
    reaching = tl.sum(count, 0) - tl.cumsum(count, 0) + count
    bucket = tl.maximum(tl.max(tl.where(reaching >= m, bin, 0), 0), 0)
    ties = tl.sum(tl.where(bin == bucket, count, 0), 0)
    beyond = tl.sum(tl.where(bin == bucket, reaching - count, 0), 0)
    return start + (tl.maximum(bucket - 1, 0) << SHIFT), ties, beyond


@triton.jit
def _power(loss, unit, exponent: tl.constexpr, STEEP: tl.constexpr):
    """Returns (ℓ/unit)^exponent, clipped at 1; NaN stays."""
    unit = tl.maximum(unit, _TINY)
    if STEEP:
        x = loss.to(tl.float64) / unit
        log = tl.log2(tl.where(x > 0, x, 1.0))
    elif exponent >= 1:
        x = loss / unit.to(tl.float32)
        log = tl.log2(tl.where(x > 0, x, 1.0))
    else:  # the quotient may underflow where its power does not
        x = loss
        log = tl.log2(tl.where(x > 0, x, 1.0)) - tl.log2(unit).to(tl.float32)
    return tl.where(x > 0, tl.exp2(exponent * tl.where(log > 0, 0.0, log)), x)


@triton.jit
def _round_kernel(
    pixel_loss, valid, weight, counts, ns, starts, units, sums, S, G, programs,
    ROUND: tl.constexpr, SHIFT: tl.constexpr, LAST_SHIFT: tl.constexpr, IS_LAST: tl.constexpr,
    P: tl.constexpr, Q: tl.constexpr, STEEP: tl.constexpr, RATIO: tl.constexpr,
    BINS: tl.constexpr, PARTIALS: tl.constexpr, LOOPS: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    program = tl.program_id(0)
    group = tl.program_id(1)
    now = ROUND * G + group
    last = now - G
    start = tl.zeros((), tl.int32)
    unit = tl.full((), 1.0, tl.float64)
    if ROUND > 0:
        n = tl.load(ns + group).to(tl.float64)
        m = tl.maximum(RATIO * n, 1.0)
        largest = tl.exp2(_log2(n / m) / P)
        last_start = tl.load(starts + last)
        last_counts = counts + last * BINS
        if P == 1:
            start, ties, beyond = _threshold(last_counts, last_start, m, LAST_SHIFT, BINS)
            shared = (m - beyond) / ties * largest
        else:
            below = tl.zeros((), tl.float64)
            last_unit = tl.load(units + last)
            if ROUND > 1:
                part = tl.arange(0, PARTIALS)
                part = tl.load(sums + last * programs + part, part < programs, 0.0)
                below = tl.sum(part, 0)
            unit = _solve(last_counts, last_start, below, last_unit, m, Q, LAST_SHIFT, STEEP, BINS)
            single = tl.where(unit < float('inf'), tl.minimum(unit, _MOST), unit).to(tl.float32)
            start = tl.maximum(single.to(tl.int32, bitcast=True), 1) - 1
            if not STEEP:
                unit = single.to(tl.float64)
            unit = tl.maximum(unit, _TINY)
    if not IS_LAST:
        if program == 0:
            tl.store(starts + now, start)
            tl.store(units + now, unit)

    histogram = tl.zeros((BINS,), tl.int32)
    below = tl.zeros((B,), tl.float64)
    valid_pixels = tl.zeros((B,), tl.int32)
    for i in range(LOOPS):
        pixel = (program.to(tl.int64) * LOOPS + i) * B + tl.arange(0, B)
        inside = pixel < S
        at = group.to(tl.int64) * S + pixel
        is_valid = tl.load(valid + at, mask=inside, other=0) != 0
        loss = tl.load(pixel_loss + at, mask=is_valid, other=0.0)
        loss = tl.abs(loss)  # zeros may have a sign
        bits = loss.to(tl.int32, bitcast=True)
        if IS_LAST:
            if P == 1:
                top = tl.where(bits > start, largest, tl.where(bits == start, shared, 0.0))
                top = tl.where(loss > 0, top, tl.where(loss == loss, 0.0, loss))
                tl.store(weight + at, top, mask=inside)
            else:
                power = largest * _power(loss, unit, Q - 1, STEEP)
                tl.store(weight + at, power, mask=inside)
        else:
            # pixels beyond the group count as below the bracket, in a bin that is not used
            bucket = tl.minimum(tl.maximum(((bits - start) >> SHIFT) + 1, 0), BINS - 1)
            histogram += tl.histogram(tl.where(inside, bucket, 0), BINS)
            if ROUND == 0:
                valid_pixels += is_valid.to(tl.int32)
            elif P != 1:
                below += tl.where(bits < start, _power(loss, unit, Q, STEEP), 0.0).to(tl.float64)
    if not IS_LAST:
        bin = tl.arange(0, BINS)
        tl.atomic_add(counts + now * BINS + bin, histogram, mask=histogram > 0, sem='relaxed')
        if ROUND == 0:
            tl.atomic_add(ns + group, tl.sum(valid_pixels, 0), sem='relaxed')
        elif P != 1:
            tl.store(sums + now * programs + program, tl.sum(below, 0))
