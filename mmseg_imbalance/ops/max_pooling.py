r"""The optimal pixel weights of loss max-pooling, exact, without sorting and without a host sync.

S. Rota Bulò, G. Neuhold, P. Kontschieder, *Loss Max-Pooling for Semantic Image Segmentation*,
CVPR 2017, arXiv 1704.02966, replace the mean of the n pixel losses ℓ of an image by the worst case
over a family of weightings,

    L(ℓ) = max { Σ w(u) ℓ(u) : w ≥ 0, ‖w‖_p ≤ γ, ‖w‖_∞ ≤ τ },  γ = n^(-1/q),  τ = γ m^(-1/p)

with 1/p + 1/q = 1. The maximum is attained at

    w(u) = τ min(ℓ(u)/α, 1)^(q-1),   where   Σ min(ℓ(u)/α, 1)^q = m.

α is found as in a radix selection. Non-negative float32 numbers are ordered like their bit
patterns, so a histogram of the upper 16 bits confines α to a bracket of 2^16 neighbouring float32
numbers, and a histogram of that bracket holds every distinct loss in it with its multiplicity.
Both are integer counts (exact in any order of summation), and α solves a closed form on each.
"""

import math

import torch
from torch import Tensor

_LOW_BITS = 15  # of the 31 bits of a non-negative float32; the other 16 number the coarse buckets
_COARSE = 1 << (31 - _LOW_BITS)
# Rounding a loss down to its coarse bucket divides it by less than 1 + 2^-8, which the float32
# grid resolves in no more than 2^16 steps; a few more cover the rounding of the bracket itself.
_FINE = (1 << 16) + 8
# From here to p = 1 a loss one float32 step below α weighs less than 1e-13 (q > 5e8), so that the
# weights are those of p = 1; and the powers of float64 would lose all their digits.
_NEARLY_1 = 2e-9


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
    if p == math.inf or ratio == 1:
        return valid.float()
    pixel_loss = torch.where(valid, pixel_loss, 0.0)  # zeros neither saturate nor add to a sum
    n = valid.sum(1, keepdim=True).double()
    m = (ratio * n).clamp(min=1)
    bits = pixel_loss.view(torch.int32).clamp(min=0)  # -0.0 has its sign bit set

    if p - 1 < _NEARLY_1:
        weights = _top_weights(pixel_loss, bits, n, m)
    else:
        weights = _power_weights(pixel_loss, bits, n, m, p)
    return torch.where(valid, weights, 0.0)


def _power_weights(pixel_loss: Tensor, bits: Tensor, n: Tensor, m: Tensor, p: float) -> Tensor:
    """The weights for 1 < p < inf; n and m are (G, 1) float64."""
    q = p / (p - 1)
    none = torch.zeros_like(n, dtype=torch.int64)
    coarse = _histogram(bits >> _LOW_BITS, _COARSE)
    lower_edge = _values(torch.arange(_COARSE, device=bits.device, dtype=torch.int32) << _LOW_BITS)
    # With every loss rounded down to its bucket's lower edge, the root comes out below the true
    # one, by less than a bucket's width, since it scales with the losses.
    alpha = _solve(lower_edge, coarse, none.log(), none, m, q)

    start = alpha.float().view(torch.int32).clamp(min=1) - 1
    fine = _histogram((bits - start + 1).clamp(0, _FINE + 1), _FINE + 2)
    above, fine = fine[:, -1:], fine[:, 1:-1]
    value = _values(start + torch.arange(_FINE, device=bits.device, dtype=torch.int32))
    # A relative error in ℓ/α grows q-fold in the power: large q needs float64.
    loss = pixel_loss if q < 50 else pixel_loss.double()
    first = value[:, :1].clamp(min=torch.finfo(torch.float32).tiny)
    below = torch.where(bits < start, loss / first.to(loss.dtype), 0.0).pow(q).sum(1, keepdim=True)
    log_below = below.double().log() + q * first.log()
    alpha = _solve(value, fine, log_below, above, m, q)

    alpha = alpha.clamp(min=torch.finfo(torch.float32).tiny).to(loss.dtype)
    if q > 2:
        weights = (loss / alpha).clamp(max=1).pow(q - 1)
    else:  # the quotient may underflow where its power does not
        weights = (loss.pow(q - 1) * alpha.pow(1 - q)).clamp(max=1)
    return ((n / m) ** (1 / p) * weights).float()


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


def _top_weights(pixel_loss: Tensor, bits: Tensor, n: Tensor, m: Tensor) -> Tensor:
    """The weights for p = 1: the m largest losses, the last of them in part and shared by ties."""
    bucket, _ = _threshold(_histogram(bits >> _LOW_BITS, _COARSE), m)
    start = (bucket << _LOW_BITS).int()
    size = 1 << _LOW_BITS
    fine = _histogram((bits - start + 1).clamp(0, size + 1), size + 2)
    offset, beyond = _threshold(fine, m)
    threshold = start + offset.int() - 1
    ties = fine.gather(1, offset)
    weights = torch.where(bits > threshold, n / m, 0.0)
    weights = torch.where(bits == threshold, (m - beyond) / ties * (n / m), weights)
    return torch.where(pixel_loss > 0, weights, 0.0).float()


def _threshold(count: Tensor, m: Tensor) -> tuple[Tensor, Tensor]:
    """The last bucket that has at least m losses in it or above, and how many lie above it."""
    reaching = _suffix_sum(count)
    bucket = ((reaching >= m).sum(1, keepdim=True) - 1).clamp(min=0)  # no loss at all: any
    return bucket, (reaching - count).gather(1, bucket)


def _histogram(bucket: Tensor, size: int) -> Tensor:
    """Counts (G, S) bucket numbers in 0 … size - 1 into (G, size) int64."""
    bucket = bucket.long()
    zeros = torch.zeros(bucket.shape[0], size, dtype=torch.int64, device=bucket.device)
    return zeros.scatter_add_(1, bucket, torch.ones_like(bucket))


def _suffix_sum(count: Tensor) -> Tensor:
    """How many losses lie in each bucket or above it."""
    return count.sum(1, keepdim=True) - count.cumsum(1) + count


def _values(bits: Tensor) -> Tensor:
    """The numbers (float64) with the given float32 bit patterns (int32)."""
    return bits.view(torch.float32).double()
