"""Computation of a head's losses and accuracy without storing upsampled logits."""

from collections.abc import Callable
from functools import partial

import torch
from mmseg.models.decode_heads.cascade_decode_head import BaseCascadeDecodeHead
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.losses import CrossEntropyLoss
from torch import Tensor, nn

from ..losses.loss_max_pooling import LossMaxPooling
from ..losses.pixel_weighting_loss import PixelWeightingLoss
from ..losses.region_loss import RegionLoss
from ..losses.upsampled_logits import UpsampledLogits
from ..utils.find_loss import losses_of

_EPS = torch.finfo(torch.float32).eps


def find_heads(model: nn.Module, paths: list[str] | None = None) -> dict[str, BaseDecodeHead]:
    """Returns the heads of a model that are to be fused, keyed by their paths.

    Args:
        model: The segmentor.
        paths: Paths of the wanted heads; all if None.

    Raises:
        ValueError: If a head does not exist or cannot be fused.
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
    """Makes a head compute its losses without storing upsampled logits.

    Args:
        head: A head that :func:`find_heads` returned.
        compile: Whether to compile the pass over the stripes with ``torch.compile``.

    Returns:
        A function that restores the head.
    """
    replaced = {head: ('loss_by_feat', partial(_loss_by_feat, head, compile))}
    for loss in losses_of(head):
        if isinstance(loss, CrossEntropyLoss):
            replaced[loss] = ('forward', partial(_cross_entropy, loss))
    for module, (method, function) in replaced.items():
        setattr(module, method, function)  # hides the method of its class

    def restore() -> None:
        for module, (method, _) in replaced.items():
            vars(module).pop(method, None)

    return restore


def _loss_by_feat(
    head: BaseDecodeHead, compile: bool, seg_logits: Tensor, batch_data_samples: list
) -> dict[str, Tensor]:
    """Computes the same as ``BaseDecodeHead.loss_by_feat`` from logits (N, C, h, w)."""
    seg_label = head._stack_batch_gt(batch_data_samples).squeeze(1)
    logits = UpsampledLogits(seg_logits, seg_label.shape[1:], head.align_corners, compile)
    log: dict[str, Tensor] = {}
    for loss in losses_of(head):
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
    """Computes the same as ``CrossEntropyLoss`` does from logits of label size."""
    if isinstance(cls_score, Tensor):  # such as from NonFiniteLossHook
        return type(loss).forward(
            loss, cls_score, label, weight, avg_factor, reduction_override, ignore_index
        )
    if any(option is not None for option in (weight, avg_factor, reduction_override)):
        raise TypeError('a fused CrossEntropyLoss takes no weights and no other reduction')
    pixels = (label != ignore_index).sum() if loss.avg_non_ignore else label.numel()
    losses = cls_score.scores(label, ignore_index).loss
    return loss.loss_weight * losses.sum() / (pixels + _EPS)


def _accuracy(pred: Tensor, label: Tensor, ignore_index: int) -> Tensor:
    """Computes MMSegmentation's accuracy: the percentage of valid pixels predicted right, (1,)."""
    valid = label != ignore_index
    right = ((pred == label) & valid).sum()
    return (100 * (right + _EPS) / (valid.sum() + _EPS))[None]


def _fault_of_head(head: BaseDecodeHead) -> str | None:
    """Returns why a head cannot be fused without changing its loss, None if it can."""
    kind = type(head)
    known = (BaseDecodeHead.loss, BaseCascadeDecodeHead.loss)
    if kind.loss_by_feat is not BaseDecodeHead.loss_by_feat or kind.loss not in known:
        return 'computes its loss in a way of its own'
    if head.sampler is not None:
        return f'samples pixels by the upsampled logits ({type(head.sampler).__name__})'
    return next(filter(None, map(_fault_of_loss, losses_of(head))), None)


def _fault_of_loss(loss: nn.Module) -> str | None:
    """Returns why a loss needs the upsampled logits, None if it does not."""
    inner = loss.pixel_loss if isinstance(loss, LossMaxPooling) else None
    if inner is not None and not isinstance(inner, PixelWeightingLoss):
        return f'pools the pixel_loss {type(inner).__name__}, which needs the upsampled logits'
    kind = type(loss)
    for base in (PixelWeightingLoss, RegionLoss):
        if isinstance(loss, base) and kind.forward is base.forward:
            return None
    if kind is not CrossEntropyLoss:
        return f'has the loss {kind.__name__}, which needs the upsampled logits'
    if loss.use_sigmoid or loss.use_mask or loss.reduction != 'mean':
        return 'has a CrossEntropyLoss that is not the mean of that of the soft-max'
    if loss.class_weight is not None:
        return 'has a CrossEntropyLoss with class weights; use WeightedCrossEntropyLoss for them'
    return None
