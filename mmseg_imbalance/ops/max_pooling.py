r"""Exact optimal pixel weights of loss max-pooling, without sorting and without a host sync.

S. Rota Bulò, G. Neuhold, P. Kontschieder, *Loss Max-Pooling for Semantic Image Segmentation*,
CVPR 2017, arXiv 1704.02966, replace the mean of the n pixel losses ℓ of an image by the worst case
over a family of weightings,

    L(ℓ) = max { Σ w(u) ℓ(u) : w ≥ 0, ‖w‖_p ≤ γ, ‖w‖_∞ ≤ τ },  γ = n^(-1/q),  τ = γ m^(-1/p)

with 1/p + 1/q = 1. The maximum is attained at

    w(u) = τ min(ℓ(u)/α, 1)^(q-1),   where   Σ min(ℓ(u)/α, 1)^q = m.

α is found as in a radix selection. Non-negative float32 numbers are ordered like their bit
patterns. A histogram of the upper bits confines α to a bracket of neighbouring float32 numbers, a
second one confines it to a narrower bracket, and in the third each bucket holds one number. Counts
are integers (exact in any order of summation), and each histogram gives α in closed form. This
holds for normal numbers: losses below 10^-38, stored with fewer digits, may weigh too little.
"""

import math

import torch
from torch import Tensor

from .histogram import histogram
from .kernels import kernels_apply
from .stripes import cache_slices, map_stripes

_SHIFTS = (20, 10, 0)  # a bucket holds 2^shift neighbouring float32 numbers
# Of the 31 bits of a non-negative float32, 11 number the first buckets. Rounding a loss down to its
# bucket divides it by less than 1 + 2^-3 in the first histogram and by less than 1 + 2^-13 in the
# second. Either range spans at most 2^11 buckets of the next histogram; a few more cover the
# rounding of the bracket itself.
_BUCKETS = (1 << 11) + 8
# If p - 1 is below this, a loss one float32 step below α weighs less than 1e-13 (q > 5e8), so the
# weights are those of p = 1. Powers in float64 would lose all their digits there.
_NEARLY_1 = 2e-9
_NEARLY_INF = 1e-12  # for 1/p below it, weights are the mean's, well within float32 precision
_STEEP = 50  # from this exponent q on, powers need float64


def max_pooling_weights(
    pixel_loss: Tensor, valid: Tensor, p: float = 1.7, ratio: float = 0.25
) -> Tensor:
    r"""Computes the optimal weights w of loss max-pooling, in units of the uniform weight.

    The result is n·w: plain averaging gives every pixel 1, no weight exceeds (1 / ratio)^(1/p), and
    the pooled loss is ``(weights * pixel_loss).sum(1) / n``. By Danskin's theorem the weights are
    also n times the gradient of the pooled loss, so treating them as constants in the backward pass
    is exact. Where any of several equal losses could take a part of the weight (p = 1), they share
    it equally.

    Args:
        pixel_loss: (G, S) float32, the losses of G groups (images) that are pooled independently;
            finite and ≥ 0 where valid.
        valid: (G, S) bool, False for pixels to leave out (their loss is not used).
        p: Norm of the weights, in [1, inf]: inf averages, 1 averages the m largest losses.
        ratio: m / n in (0, 1], the least share of the valid pixels that has to carry the weight;
            m = max(1, ratio · n) need not be an integer.

    Returns:
        (G, S) float32, 0 where not valid. NaN losses get NaN weights. A group without a valid
        pixel, or with losses that are all 0, has weights 0. For p = inf or ratio = 1, every
        valid pixel weighs 1, whatever its loss.

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
    # Zeros neither saturate nor add to a sum; abs clears the sign bit of -0.0.
    pixel_loss = torch.where(valid, pixel_loss, 0.0).abs_()
    n = valid.sum(1, keepdim=True).double()
    m = (ratio * n).clamp(min=1)
    if p - 1 < _NEARLY_1:
        return _top_weights(pixel_loss, n, m)
    return _power_weights(pixel_loss, n, m, p)


def _power_weights(pixel_loss: Tensor, n: Tensor, m: Tensor, p: float) -> Tensor:
    """Computes the weights for 1 < p < inf; n and m are (G, 1) float64."""
    q = p / (p - 1)
    bits = pixel_loss.view(torch.int32)
    none = torch.zeros_like(n, dtype=torch.int64)
    alpha = _solve_bracket(bits, none.int(), _SHIFTS[0], none.log(), m, q)

    unit = alpha if q >= _STEEP else _single(alpha).double()  # else _power divides in float32
    power = _power(pixel_loss, unit, q)
    for shift in _SHIFTS[1:]:
        start = _single(alpha).view(torch.int32).clamp(min=1) - 1
        below = _sum_below(pixel_loss, power, bits, start, unit)
        log_below = below.log() + q * _positive(unit).log()
        alpha = _solve_bracket(bits, start, shift, log_below, m, q)
        if q >= _STEEP:  # (α/unit)^q may overflow, although α is close to unit
            unit, power = alpha, _power(pixel_loss, alpha, q)

    largest = (n / m) ** (1 / p)
    scale = largest * (_positive(unit) / _positive(alpha)) ** (q - 1)
    weights = power.mul_(scale.to(power.dtype))
    return torch.minimum(weights, largest.to(weights.dtype), out=weights).float()


def _power(pixel_loss: Tensor, unit: Tensor, q: float) -> Tensor:
    """Returns (ℓ/unit)^(q-1), clipped above the first bracket; unit is (G, 1) float64."""
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
    """Sums (ℓ/unit)^q over the losses below a bit pattern, (G, 1) float64."""
    unit = _positive(unit).to(power.dtype)

    def sum_of(part: slice) -> Tensor:
        mass = pixel_loss[:, part] / unit * power[:, part]
        return torch.where(bits[:, part] < start, mass, 0.0).sum(1, keepdim=True).double()

    return sum(map_stripes(sum_of, cache_slices(bits), bits.device))


def _single(alpha: Tensor) -> Tensor:
    """Converts α to float32, where a finite α that is too large becomes the largest number."""
    most = torch.finfo(torch.float32).max
    return torch.where(alpha.isfinite(), alpha.clamp(max=most), alpha).float()


def _positive(alpha: Tensor) -> Tensor:
    return alpha.clamp(min=torch.finfo(torch.float32).tiny)


def _solve_bracket(
    bits: Tensor, start: Tensor, shift: int, log_below: Tensor, m: Tensor, q: float
) -> Tensor:
    """Solves for α with losses from the bit pattern ``start`` (G, 1) on rounded to buckets.

    Losses are rounded down. Since α scales with them, it is too small by less than the rounding
    of a loss in its bucket. Losses below ``start`` enter by their known sum.
    """
    count = _count(bits, start, shift)
    lower_edge = start + (torch.arange(_BUCKETS, device=bits.device, dtype=torch.int32) << shift)
    value = lower_edge.view(torch.float32).double()
    return _solve(value, count[:, 1:-1], log_below, count[:, -1:], m, q)


def _count(bits: Tensor, start: Tensor, shift: int) -> Tensor:
    """Counts the losses (G, _BUCKETS + 2) below ``start`` (G, 1), in each bucket, and above."""

    def count(part: slice) -> Tensor:
        bucket = (bits[:, part] - start).bitwise_right_shift_(shift).add_(1)
        return histogram(bucket.clamp_(0, _BUCKETS + 1), _BUCKETS + 2)

    return sum(map_stripes(count, cache_slices(bits), bits.device))


def _solve(
    value: Tensor, count: Tensor, log_below: Tensor, above: Tensor, m: Tensor, q: float
) -> Tensor:
    """Solves Σ min(ℓ/α, 1)^q = m for α, with losses given as a histogram.

    Let k(i) be the number of losses ≥ value i and S(i) the sum of ℓ^q over the others. For the
    first i with k(i) < m and S(i) ≤ (m - k(i)) · (value i)^q, the losses from value i on reach α,
    and α^q = S(i) / (m - k(i)). Sums are kept as logarithms, since ℓ^q overflows for p near 1.

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
    # There are buckets for the bit patterns of infinity and NaN too. They must not give NaN unless
    # such losses exist.
    log_power = torch.where(count > 0, count.double().log() + q * log_value, -math.inf)
    log_sum = torch.logcumsumexp(torch.cat([log_below, log_power], 1), 1)
    reaching = above + torch.cat([_suffix_sum(count), torch.zeros_like(above)], 1)
    log_room = (m - reaching).clamp(min=0).log()  # -inf where k ≥ m
    log_limit = torch.cat([log_value, torch.full_like(log_below, math.inf)], 1)
    holds = (reaching < m) & (log_sum <= log_room + q * log_limit)
    first = holds.int().argmax(1, keepdim=True)
    return ((log_sum - log_room).gather(1, first) / q).exp()


def _top_weights(pixel_loss: Tensor, n: Tensor, m: Tensor) -> Tensor:
    """Weighs the m largest losses, for p = 1; ties share the part that is left of m."""
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
    return torch.where(pixel_loss > 0, weights, pixel_loss)  # 0, or not a number


def _threshold(count: Tensor, m: Tensor) -> tuple[Tensor, Tensor]:
    """Finds the last bucket with at least m losses in or above it, and how many lie above it."""
    reaching = _suffix_sum(count)
    bucket = ((reaching >= m).sum(1, keepdim=True) - 1).clamp(min=0)  # without losses, any bucket
    return bucket, (reaching - count).gather(1, bucket)


def _suffix_sum(count: Tensor) -> Tensor:
    """Counts the losses in or above each bucket."""
    return count.sum(1, keepdim=True) - count.cumsum(1) + count
