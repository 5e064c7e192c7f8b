"""Loss max-pooling by sorting, as it is usually implemented."""

import torch
import torch.nn.functional as F
from torch import Tensor


def sorted_max_pooling_loss(
    seg_logits: Tensor, seg_label: Tensor, p: float = 1.7, ratio: float = 0.25
) -> Tensor:
    """Computes :class:`LossMaxPooling` (``pool='image'``) for 1 < p < inf and ratio < 1.

    With sorted (ascending) losses, S_i = Σ_{j≤i} ℓ_j^q and k_i = m - n + i - 1, the first i with
    k_i > 0 and k_i ℓ_i^q ≥ S_{i-1} gives α^q = S_{i-1} / k_i; if there is none, α^q = S_n / m.

    Args:
        seg_logits: Logits (N, C, H, W).
        seg_label: Labels (N, H, W) int64; 255 is ignored.
        p: Norm of the weights.
        ratio: m / n.
    """
    losses = F.cross_entropy(seg_logits, seg_label, ignore_index=255, reduction='none')
    pooled = [
        _pool(loss[label != 255], p, ratio) for loss, label in zip(losses, seg_label, strict=True)
    ]
    return torch.stack(pooled).mean()


def _pool(loss: Tensor, p: float, ratio: float) -> Tensor:
    n = loss.numel()
    if n == 0:
        return loss.sum()
    with torch.no_grad():
        q, m = p / (p - 1), max(1.0, ratio * n)
        largest = loss.max().clamp(min=torch.finfo(loss.dtype).tiny)
        power = (loss / largest).double() ** q
        ascending = power.sort().values
        sums = ascending.cumsum(0)
        before = sums - ascending
        room = m - n + torch.arange(n, device=loss.device)
        holds = (room > 0) & (room * ascending >= before)
        first = holds.int().argmax()
        alpha = torch.where(holds.any(), before[first] / room[first], sums[-1] / m)
        weight = (power / alpha.clamp(min=1e-300)).clamp(max=1) ** ((q - 1) / q)
        weight = torch.where(loss > 0, weight, 0) * (n / m) ** (1 / p)
    return (weight.to(loss.dtype) * loss).sum() / n
