r"""The optimal pixel weights of loss max-pooling, exact, without sorting and without a host sync.

S. Rota Bulò, G. Neuhold, P. Kontschieder, *Loss Max-Pooling for Semantic Image Segmentation*,
CVPR 2017, arXiv 1704.02966, replace the mean of the n pixel losses ℓ of an image by the worst case
over a family of weightings,

    L(ℓ) = max { Σ w(u) ℓ(u) : w ≥ 0, ‖w‖_p ≤ γ, ‖w‖_∞ ≤ τ },  γ = n^(-1/q),  τ = γ m^(-1/p)

with 1/p + 1/q = 1. The maximum is attained at

    w(u) = τ min(ℓ(u)/α, 1)^(q-1),   where   Σ min(ℓ(u)/α, 1)^q = m.

α is found as in a radix selection. Non-negative float32 numbers are ordered like their bit
patterns, so a histogram of the upper bits confines α to a bracket of neighbouring float32 numbers,
a histogram of that bracket to a narrower one, and in the third each bucket holds one number. They
are integer counts (exact in any order of summation), and α solves a closed form on each. That is
for normal numbers: losses below 10^-38, which are stored with fewer digits, may weigh too little.
"""

import math

import torch
from torch import Tensor

from .histogram import histogram
from .kernels import kernels_apply
from .stripes import cache_slices

_SHIFTS = (20, 10, 0)  # a bucket holds 2^shift neighbouring float32 numbers
# Of the 31 bits of a non-negative float32, 11 number the first buckets. Rounding a loss down to its
# bucket divides it by less than 1 + 2^-3, then by less than 1 + 2^-13: the float32 grid resolves
# either in no more than 2^11 of the next, finer steps; a few more cover the rounding of the
# bracket itself.
_BUCKETS = (1 << 11) + 8
# From here to p = 1 a loss one float32 step below α weighs less than 1e-13 (q > 5e8), so that the
# weights are those of p = 1; and the powers of float64 would lose all their digits.
_NEARLY_1 = 2e-9
_NEARLY_INF = 1e-12  # 1/p; the weights are those of the mean to float32's precision by far
_STEEP = 50  # exponents q from which the powers need float64


def max_pooling_weights(
    pixel_loss: Tensor, valid: Tensor, p: float = 1.7, ratio: float = 0.25
) -> Tensor:
    r"""Weighs pixel losses by the optimum w of loss max-pooling, in units of the uniform weight.

    The weights are n·w, so that a weight of 1 is what plain averaging gives every pixel, the pooled
    loss is ``(weights * pixel_loss).sum(1) / n`` and no weight exceeds (1 / ratio)^(1/p). By
    Danskin's theorem they are also n times the gradient of the pooled loss: treating them as
    constants in the backward pass is exact. Where a part of the weight may go to any of several
    equal losses (p = 1), these share it equally.

    Args:
        pixel_loss: (G, S) float32, the losses of G groups (images) that are pooled independently;
            finite and ≥ 0 where valid.
        valid: (G, S) bool, False for pixels to leave out (their loss is not looked at).
        p: Norm of the weights, in [1, inf]: inf averages, 1 averages the m largest losses.
        ratio: m / n in (0, 1], the least share of the valid pixels that has to carry the weight;
            m = max(1, ratio · n) need not be whole.

    Returns:
        (G, S) float32, 0 where not valid. NaN losses get NaN weights. A group without a valid
        pixel, or with losses that are all 0, has weights 0, except where p = inf or ratio = 1:
        there every valid pixel weighs 1.

    Example:
        >>> loss = torch.tensor([[4.0, 1.0, 1.0, 1.0]])
        >>> valid = torch.ones_like(loss, dtype=torch.bool)
        >>> max_pooling_weights(loss, valid, p=1, ratio=0.5)  # the worst half
        tensor([[2.0000, 0.6667, 0.6667, 0.6667]])
        >>> max_pooling_weights(loss, valid, p=2, ratio=0.25)
        tensor([[1.8353, 0.4588, 0.4588, 0.4588]])
    """
    if 1 / p < _NEARLY_INF or ratio == 1:
        return valid.float()
    if kernels_apply(pixel_loss):
        from .kernels import max_pooling

        p = 1 if p - 1 < _NEARLY_1 else p
        return max_pooling.weights(pixel_loss.contiguous(), valid.contiguous(), p, ratio)
    # Zeros neither saturate nor add to a sum; abs makes one of -0.0, whose sign bit is set.
    pixel_loss = torch.where(valid, pixel_loss, 0.0).abs_()
    n = valid.sum(1, keepdim=True).double()
    m = (ratio * n).clamp(min=1)
    if p - 1 < _NEARLY_1:
        return _top_weights(pixel_loss, n, m)
    return _power_weights(pixel_loss, n, m, p)


def _power_weights(pixel_loss: Tensor, n: Tensor, m: Tensor, p: float) -> Tensor:
    """The weights for 1 < p < inf; n and m are (G, 1) float64."""
    q = p / (p - 1)
    bits = pixel_loss.view(torch.int32)
    none = torch.zeros_like(n, dtype=torch.int64)
    alpha = _solve_bracket(bits, none.int(), _SHIFTS[0], none.log(), m, q)

    unit = alpha if q >= _STEEP else _single(alpha).double()  # there it is divided by in float32
    power = _power(pixel_loss, unit, q)
    for shift in _SHIFTS[1:]:
        start = _single(alpha).view(torch.int32).clamp(min=1) - 1
        below = _sum_below(pixel_loss, power, bits, start, unit)
        log_below = below.log() + q * _positive(unit).log()
        alpha = _solve_bracket(bits, start, shift, log_below, m, q)
        if q >= _STEEP:  # (α/unit)^q may overflow, as close as they are
            unit, power = alpha, _power(pixel_loss, alpha, q)

    largest = (n / m) ** (1 / p)
    scale = largest * (_positive(unit) / _positive(alpha)) ** (q - 1)
    weights = power.mul_(scale.to(power.dtype))
    return torch.minimum(weights, largest.to(weights.dtype), out=weights).float()


def _power(pixel_loss: Tensor, unit: Tensor, q: float) -> Tensor:
    """(ℓ/unit)^(q-1), cut off above the first bracket; unit is (G, 1) float64."""
    unit = _positive(unit)
    if q >= _STEEP:  # a relative error in ℓ/α grows q-fold in the power
        return (pixel_loss / unit).clamp_(max=1).pow_(q - 1)
    if q > 2:
        return (pixel_loss / unit.float()).clamp_(max=1.25).pow_(q - 1)
    # the quotient may underflow where its power does not
    return pixel_loss.pow(q - 1).mul_(unit.pow(1 - q).float())


def _sum_below(
    pixel_loss: Tensor, power: Tensor, bits: Tensor, start: Tensor, unit: Tensor
) -> Tensor:
    """Σ (ℓ/unit)^q over the losses below a bit pattern, (G, 1) float64."""
    total = torch.zeros_like(unit)
    unit = _positive(unit).to(power.dtype)
    for part in cache_slices(bits):
        mass = pixel_loss[:, part] / unit * power[:, part]
        total += torch.where(bits[:, part] < start, mass, 0.0).sum(1, keepdim=True)
    return total


def _single(alpha: Tensor) -> Tensor:
    """In float32, which a finite α may exceed: that is as if it were the largest number there."""
    most = torch.finfo(torch.float32).max
    return torch.where(alpha.isfinite(), alpha.clamp(max=most), alpha).float()


def _positive(alpha: Tensor) -> Tensor:
    return alpha.clamp(min=torch.finfo(torch.float32).tiny)


def _solve_bracket(
    bits: Tensor, start: Tensor, shift: int, log_below: Tensor, m: Tensor, q: float
) -> Tensor:
    """α if the losses from the bit pattern ``start`` (G, 1) on are rounded down to buckets.

    It is too small by less than what a loss in its bucket is rounded by, since α scales with the
    losses; of the losses below ``start`` the sum is known.
    """
    count = _count(bits, start, shift)
    lower_edge = start + (torch.arange(_BUCKETS, device=bits.device, dtype=torch.int32) << shift)
    value = lower_edge.view(torch.float32).double()
    return _solve(value, count[:, 1:-1], log_below, count[:, -1:], m, q)


def _count(bits: Tensor, start: Tensor, shift: int) -> Tensor:
    """How many losses (G, _BUCKETS + 2) lie below ``start`` (G, 1), in each bucket, and above."""
    buckets = (
        (bits[:, part] - start).bitwise_right_shift_(shift).add_(1).clamp_(0, _BUCKETS + 1)
        for part in cache_slices(bits)
    )
    return sum(histogram(bucket, _BUCKETS + 2) for bucket in buckets)


def _solve(
    value: Tensor, count: Tensor, log_below: Tensor, above: Tensor, m: Tensor, q: float
) -> Tensor:
    """The root α of Σ min(ℓ/α, 1)^q = m for losses given as a histogram.

    Let k(i) be the number of losses ≥ value i and S(i) the sum of ℓ^q over the others. The losses
    that reach α are those from the first i on with k(i) < m and S(i) ≤ (m - k(i)) · (value i)^q,
    and α^q = S(i) / (m - k(i)). The sums are kept as logarithms: ℓ^q overflows for p near 1.

    Args:
        value: (B,) or (G, B) float64, ascending.
        count: (G, B) int64, how many losses have each value.
        log_below: (G, 1) float64, log Σ ℓ^q of the losses below the first value.
        above: (G, 1), number of losses above the last value.
        m: (G, 1) float64.
        q: Exponent, finite.

    Returns:
        (G, 1) float64; 0 where no more than m losses are non-zero.
    """
    log_value = value.log().expand(count.shape)
    # The exponent bits of infinity and NaN have buckets too; unless such losses exist, these must
    # not turn into NaN.
    log_power = torch.where(count > 0, count.double().log() + q * log_value, -math.inf)
    log_sum = torch.logcumsumexp(torch.cat([log_below, log_power], 1), 1)
    reaching = above + torch.cat([_suffix_sum(count), torch.zeros_like(above)], 1)
    log_room = (m - reaching).clamp(min=0).log()  # -inf where k ≥ m
    log_limit = torch.cat([log_value, torch.full_like(log_below, math.inf)], 1)
    holds = (reaching < m) & (log_sum <= log_room + q * log_limit)
    first = holds.int().argmax(1, keepdim=True)
    return ((log_sum - log_room).gather(1, first) / q).exp()


def _top_weights(pixel_loss: Tensor, n: Tensor, m: Tensor) -> Tensor:
    """The weights for p = 1: the m largest losses, the last of them in part and shared by ties."""
    bits = pixel_loss.view(torch.int32)
    threshold = torch.zeros_like(n, dtype=torch.int32)
    for shift in _SHIFTS:  # the m-th largest bit pattern, rounded down to 2^shift
        count = _count(bits, threshold, shift)
        bucket, beyond = _threshold(count, m)
        threshold = threshold + (bucket.int() - 1).clamp(min=0).mul(1 << shift)
    ties = count.gather(1, bucket)
    largest = n / m
    shared = (m - beyond) / ties * largest
    weights = torch.where(bits > threshold, largest.float(), 0.0)
    weights = torch.where(bits == threshold, shared.float(), weights)
    return torch.where(pixel_loss > 0, weights, 0.0)


def _threshold(count: Tensor, m: Tensor) -> tuple[Tensor, Tensor]:
    """The last bucket that has at least m losses in it or above, and how many lie above it."""
    reaching = _suffix_sum(count)
    bucket = ((reaching >= m).sum(1, keepdim=True) - 1).clamp(min=0)  # no loss at all: any
    return bucket, (reaching - count).gather(1, bucket)


def _suffix_sum(count: Tensor) -> Tensor:
    """How many losses lie in each bucket or above it."""
    return count.sum(1, keepdim=True) - count.cumsum(1) + count
