"""Weighted mean of pixel losses in one launch and a small one, and its gradient in one."""

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from .available import device_of
from .shares import BLOCK, ceil_div, next_power_of_2, shares

_PROGRAMS = 264
_TINY = tl.constexpr(1.1754943508222875e-38)  # the smallest normal float32 number


def weighted_mean(loss: Tensor, weight: Tensor, divisor: Tensor, factor: float) -> Tensor:
    """Returns the mean over the groups of Σ weight · loss / divisor, times a factor.

    Args:
        loss: (G, S) float32, contiguous.
        weight: (G, S) float32, contiguous; no gradient.
        divisor: (G,) ≥ 0, a floating or integer dtype; 0 counts as 1; no gradient.
        factor: Factor of the mean.

    Returns:
        A scalar, float32.
    """
    return _WeightedMean.apply(loss, weight, divisor, factor)


class _WeightedMean(torch.autograd.Function):
    @staticmethod
    def forward(ctx, loss: Tensor, weight: Tensor, divisor: Tensor, factor: float) -> Tensor:
        groups, pixels = loss.shape
        loops, programs = shares(pixels, _PROGRAMS, groups)
        sums = torch.empty(groups, programs, dtype=torch.float64, device=loss.device)
        mean = torch.empty((), dtype=torch.float32, device=loss.device)
        with device_of(loss):
            _sum_kernel[programs, groups](
                loss, weight, sums, pixels, LOOPS=loops, B=BLOCK, num_warps=4
            )
            _mean_kernel[1,](
                sums, divisor, mean, groups, programs, factor,
                GROUPS=next_power_of_2(groups), B=next_power_of_2(programs),
                num_warps=4,
            )  # fmt: skip
        ctx.save_for_backward(weight, divisor)
        ctx.factor = factor
        return mean

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_mean: Tensor) -> tuple[Tensor | None, ...]:
        weight, divisor = ctx.saved_tensors
        grad = torch.empty_like(weight)
        groups, pixels = weight.shape
        with device_of(weight):
            _spread_kernel[ceil_div(pixels, BLOCK), groups](
                weight, divisor, grad_mean, grad, pixels, groups, ctx.factor, B=BLOCK, num_warps=4
            )
        return grad, None, None, None


@triton.jit
def _sum_kernel(losses, weights, sums, S, LOOPS: tl.constexpr, B: tl.constexpr):
    program = tl.program_id(0).to(tl.int64)  # one group may have 2^31 pixels
    group = tl.program_id(1)
    total = tl.zeros((B,), tl.float64)
    for i in range(LOOPS):
        pixel = (program * LOOPS + i) * B + tl.arange(0, B)
        at = group.to(tl.int64) * S + pixel
        loss = tl.load(losses + at, mask=pixel < S, other=0.0)
        total += (loss * tl.load(weights + at, mask=pixel < S, other=0.0)).to(tl.float64)
    tl.store(sums + group * tl.num_programs(0) + program, tl.sum(total, 0))


@triton.jit
def _safe(divisor):
    """Computes ``ops.safe_divisor``."""
    divisor = divisor.to(tl.float32)
    return tl.where(divisor < _TINY, 1.0, divisor)


@triton.jit
def _mean_kernel(
    sums, divisors, mean, G, programs, factor, GROUPS: tl.constexpr, B: tl.constexpr
):  # fmt: skip
    group = tl.arange(0, GROUPS)
    program = tl.arange(0, B)
    inside = (group < G)[:, None] & (program < programs)[None, :]
    sum = tl.load(sums + group[:, None] * programs + program[None, :], mask=inside, other=0.0)
    divisor = _safe(tl.load(divisors + group, mask=group < G, other=1))
    total = tl.sum(tl.sum(sum, 1) / divisor.to(tl.float64), 0)
    tl.store(mean, (total * factor / G).to(tl.float32))


@triton.jit
def _spread_kernel(weights, divisors, grad_mean, grad, S, G, factor, B: tl.constexpr):
    group = tl.program_id(1)
    pixel = tl.program_id(0).to(tl.int64) * B + tl.arange(0, B)
    at = group.to(tl.int64) * S + pixel
    scale = tl.load(grad_mean) * factor / (_safe(tl.load(divisors + group)) * G)
    weight = tl.load(weights + at, mask=pixel < S, other=0.0)
    tl.store(grad + at, weight * scale, mask=pixel < S)
