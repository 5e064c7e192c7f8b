"""Heads that compute losses and accuracy of their logits as they are, without upsampled ones."""

from collections.abc import Callable
from functools import partial

import torch
from mmseg.models.decode_heads.cascade_decode_head import BaseCascadeDecodeHead
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.losses import CrossEntropyLoss
from torch import Tensor, nn

from ..losses.loss_max_pooling import LossMaxPooling
from ..losses.pixel_weighting_loss import PixelWeightingLoss
from ..losses.upsampled_logits import UpsampledLogits

_EPS = torch.finfo(torch.float32).eps


def find_heads(model: nn.Module, paths: list[str] | None = None) -> dict[str, BaseDecodeHead]:
    """The heads of a model that can be fused, by their paths.

    Args:
        model: The segmentor.
        paths: Those that are wanted; all if None.

    Raises:
        ValueError: One is not there, or cannot be fused.
    """
    heads = {path: m for path, m in model.named_modules() if isinstance(m, BaseDecodeHead)}
    paths = list(heads) if paths is None else paths
    missing = [path for path in paths if path not in heads]
    if missing or not heads:
        raise ValueError(
            f'FusedUpsamplingHook: the model has no {", ".join(missing) or "head"}; the heads of '
            f'MMSegmentation in it: {", ".join(heads) or "none"}'
        )
    for path in paths:
        kind, fault = type(heads[path]).__name__, _fault_of_head(heads[path])
        if fault is not None:
            raise ValueError(
                f'FusedUpsamplingHook cannot work for {path}: {kind} {fault}; leave the hook out, '
                'or name the heads that it is for with its argument `heads`'
            )
    return {path: heads[path] for path in paths}


def fuse(head: BaseDecodeHead, compile: bool = False) -> Callable[[], None]:
    """Has a head compute its losses without upsampled logits.

    Args:
        head: One of :func:`find_heads`.
        compile: Whether ``torch.compile`` makes the code of the stripes.

    Returns:
        A function that leaves the head as it was.
    """
    replaced = {head: ('loss_by_feat', partial(_loss_by_feat, head, compile))}
    for loss in _losses(head):
        if isinstance(loss, CrossEntropyLoss):
            replaced[loss] = ('forward', partial(_cross_entropy, loss))
    for module, (method, function) in replaced.items():
        setattr(module, method, function)  # before the method of its class

    def restore() -> None:
        for module, (method, _) in replaced.items():
            vars(module).pop(method, None)

    return restore


def _loss_by_feat(
    head: BaseDecodeHead, compile: bool, seg_logits: Tensor, batch_data_samples: list
) -> dict[str, Tensor]:
    """What ``BaseDecodeHead.loss_by_feat`` computes of logits (N, C, h, w)."""
    seg_label = head._stack_batch_gt(batch_data_samples).squeeze(1)
    logits = UpsampledLogits(seg_logits, seg_label.shape[1:], head.align_corners, compile)
    log: dict[str, Tensor] = {}
    for loss in _losses(head):
        value = loss(logits, seg_label, weight=None, ignore_index=head.ignore_index)
        log[loss.loss_name] = log.get(loss.loss_name, 0) + value
    pred = logits.predictions(seg_label, head.ignore_index)
    log['acc_seg'] = _accuracy(pred, seg_label, head.ignore_index)
    return log


def _cross_entropy(
    loss: CrossEntropyLoss,
    cls_score: Tensor | UpsampledLogits,
    label: Tensor,
    weight: Tensor | None = None,
    avg_factor: float | None = None,
    reduction_override: str | None = None,
    ignore_index: int = -100,
) -> Tensor:
    """What ``CrossEntropyLoss`` computes of logits of label size."""
    if isinstance(cls_score, Tensor):  # who looks for the cause of a NaN has them
        return type(loss).forward(
            loss, cls_score, label, weight, avg_factor, reduction_override, ignore_index
        )
    if any(option is not None for option in (weight, avg_factor, reduction_override)):
        raise TypeError('a fused CrossEntropyLoss takes no weights and no other reduction')
    pixels = (label != ignore_index).sum() if loss.avg_non_ignore else label.numel()
    losses = cls_score.scores(label, ignore_index).loss
    return loss.loss_weight * losses.sum() / (pixels + _EPS)


def _accuracy(pred: Tensor, label: Tensor, ignore_index: int) -> Tensor:
    """What MMSegmentation logs: the percentage of valid pixels that are predicted right, (1,)."""
    valid = label != ignore_index
    right = ((pred == label) & valid).sum()
    return (100 * (right + _EPS) / (valid.sum() + _EPS))[None]


def _losses(head: BaseDecodeHead) -> list[nn.Module]:
    losses = head.loss_decode
    return list(losses) if isinstance(losses, nn.ModuleList) else [losses]


def _fault_of_head(head: BaseDecodeHead) -> str | None:
    """Why a head would not compute the same, if so."""
    kind = type(head)
    known = (BaseDecodeHead.loss, BaseCascadeDecodeHead.loss)
    if kind.loss_by_feat is not BaseDecodeHead.loss_by_feat or kind.loss not in known:
        return 'computes its loss in a way of its own'
    if head.sampler is not None:
        return f'samples pixels by the upsampled logits ({type(head.sampler).__name__})'
    return next(filter(None, map(_fault_of_loss, _losses(head))), None)


def _fault_of_loss(loss: nn.Module) -> str | None:
    """Why a loss cannot do without upsampled logits."""
    inner = loss.pixel_loss if isinstance(loss, LossMaxPooling) else None
    if inner is not None and not isinstance(inner, PixelWeightingLoss):
        return f'pools the pixel_loss {type(inner).__name__}, which needs the upsampled logits'
    kind = type(loss)
    if isinstance(loss, PixelWeightingLoss) and kind.forward is PixelWeightingLoss.forward:
        return None
    if kind is not CrossEntropyLoss:
        return f'has the loss {kind.__name__}, which needs the upsampled logits'
    if loss.use_sigmoid or loss.use_mask or loss.reduction != 'mean':
        return 'has a CrossEntropyLoss that is not the mean of that of the soft-max'
    if loss.class_weight is not None:
        return 'has a CrossEntropyLoss with class weights; use WeightedCrossEntropyLoss for them'
    return None
