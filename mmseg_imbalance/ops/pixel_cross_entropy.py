"""Soft-max cross-entropy of every pixel, with nothing of the ignored ones in the gradient."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .compiling import is_compiling


def pixel_cross_entropy(seg_logits: Tensor, seg_label: Tensor, ignore_index: int) -> Tensor:
    """Computes -log softmax(logits)[label] of every pixel.

    PyTorch's own cross-entropy gives an ignored pixel whose logits are not finite the gradient
    0 · NaN = NaN, which then spreads over the network; here that gradient is 0. Kept for the
    backward pass is one tensor of the logits' size, as there.

    Args:
        seg_logits: (N, C, H, W), a floating dtype.
        seg_label: (N, H, W) int64, classes 0 … C - 1 or ``ignore_index``.
        ignore_index: Label of the pixels to leave out.

    Returns:
        (N, H, W), 0 where ignored.

    Raises:
        RuntimeError: In a backward pass with ``create_graph=True``.

    Example:
        >>> logits = torch.tensor([[0.0, torch.nan], [0.0, 1.0]]).view(1, 2, 1, 2)
        >>> pixel_cross_entropy(logits, torch.tensor([[[1, 255]]]), ignore_index=255)
        tensor([[[0.6931, 0.0000]]])
    """
    if is_compiling():  # into one kernel, where a copy of the logits costs nothing
        seg_logits = torch.where((seg_label != ignore_index)[:, None], seg_logits, 0.0)
        return F.cross_entropy(seg_logits, seg_label, ignore_index=ignore_index, reduction='none')
    return _PixelCrossEntropy.apply(seg_logits, seg_label, ignore_index)


class _PixelCrossEntropy(torch.autograd.Function):
    """The same without the copy, which would take as long as half the cross-entropy."""

    @staticmethod
    def forward(ctx, seg_logits: Tensor, seg_label: Tensor, ignore_index: int) -> Tensor:
        log_probability = F.log_softmax(seg_logits, 1)
        ctx.save_for_backward(log_probability, seg_label)
        ctx.ignore_index = ignore_index
        return F.nll_loss(log_probability, seg_label, ignore_index=ignore_index, reduction='none')

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None]:
        if torch.is_grad_enabled():  # what is saved knows nothing of the logits it was made of
            raise RuntimeError(
                'pixel_cross_entropy is differentiable once: it cannot be differentiated with '
                'create_graph=True'
            )
        log_probability, seg_label = ctx.saved_tensors
        ignored, grad = (seg_label == ctx.ignore_index)[:, None], grad[:, None]
        label = seg_label[:, None].masked_fill(ignored, 0)
        grad_logits = log_probability.exp().mul_(grad).scatter_add_(1, label, -grad)
        return grad_logits.masked_fill_(ignored, 0), None, None
