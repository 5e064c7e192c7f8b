"""Computes the losses of heads from their logits as they are, without upsampled ones."""

from collections.abc import Callable
from functools import partial

import torch
from mmengine.hooks import Hook
from mmseg.models.decode_heads.cascade_decode_head import BaseCascadeDecodeHead
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.losses import CrossEntropyLoss
from mmseg.registry import HOOKS
from torch import Tensor, nn

from ...losses import LossMaxPooling, PixelWeightingLoss, UpsampledLogits
from ..find_loss import unwrapped

_EPS = torch.finfo(torch.float32).eps


@HOOKS.register_module()
class FusedUpsamplingHook(Hook):
    """Spares a training the upsampled logits, the largest tensors of most segmentation networks.

    MMSegmentation's heads upsample their logits to the size of the labels, four- or eightfold per
    side, and compute loss and accuracy of the result. This hook has every head do the same in
    stripes that are upsampled, used and forgotten: values and gradients stay the same to rounding,
    and the memory of the loss shrinks to a fraction. One line for any model::

        custom_hooks = [*_base_.custom_hooks, dict(type='FusedUpsamplingHook')]

    It works for every head that leaves ``loss_by_feat`` as ``BaseDecodeHead`` has it, such as
    ``ASPPHead``, ``DepthwiseSeparableASPPHead``, ``FCNHead``, ``PSPHead``, ``UPerHead`` and
    ``SegformerHead``, with all losses of this package and MMSegmentation's ``CrossEntropyLoss``
    (of the soft-max, without class weights). What a model predicts is not touched. Under mixed
    precision the logits are upsampled in float32, where MMSegmentation rounds them to half.

    Args:
        heads: Paths of the heads in the model, such as ``'decode_head'`` and
            ``'auxiliary_head.0'``. None: all.
        compile: Whether ``torch.compile`` makes the code of the stripes, in the first step.

    Raises:
        ValueError: At the start of a training, for a head that is not there, that computes its loss
            in a way of its own or samples pixels, or whose loss needs the upsampled logits.
    """

    def __init__(self, heads: list[str] | None = None, compile: bool = False) -> None:
        self.heads = heads
        self.compile = compile
        self._replaced: list[tuple[nn.Module, str]] = []

    def before_train(self, runner) -> None:
        """Has the heads compute their losses in stripes."""
        heads = _find_heads(unwrapped(runner.model), self.heads)
        for path, head in heads.items():
            _check(path, head)
        for head in heads.values():
            self._replace(head, 'loss_by_feat', partial(_loss_by_feat, head, self.compile))
            for loss in _losses(head):
                if isinstance(loss, CrossEntropyLoss):
                    self._replace(loss, 'forward', partial(_cross_entropy, loss))
        runner.logger.info(f'fused upsampling and loss of {", ".join(heads)}')

    def after_train(self, runner=None) -> None:
        """Leaves the model as it was."""
        while self._replaced:
            delattr(*self._replaced.pop())

    def _replace(self, module: nn.Module, method: str, function: Callable) -> None:
        setattr(module, method, function)  # before the method of its class
        self._replaced.append((module, method))


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
    pred = logits.scores(seg_label, head.ignore_index).pred
    log['acc_seg'] = _accuracy(pred, seg_label, head.ignore_index)
    return log


def _cross_entropy(
    loss: CrossEntropyLoss,
    cls_score: UpsampledLogits,
    label: Tensor,
    weight: None = None,
    avg_factor: None = None,
    reduction_override: None = None,
    ignore_index: int = -100,
) -> Tensor:
    """What ``CrossEntropyLoss`` computes of logits of label size."""
    pixels = (label != ignore_index).sum() if loss.avg_non_ignore else label.numel()
    losses = cls_score.scores(label, ignore_index).loss
    return loss.loss_weight * losses.sum() / (pixels + _EPS)


def _accuracy(pred: Tensor, label: Tensor, ignore_index: int) -> Tensor:
    """What MMSegmentation logs: the percentage of valid pixels that are predicted right, (1,)."""
    valid = label != ignore_index
    right = ((pred == label) & valid).sum()
    return (100 * (right + _EPS) / (valid.sum() + _EPS))[None]


def _find_heads(model: nn.Module, paths: list[str] | None) -> dict[str, BaseDecodeHead]:
    heads = {path: m for path, m in model.named_modules() if isinstance(m, BaseDecodeHead)}
    if paths is None:
        paths = list(heads)
    missing = [path for path in paths if path not in heads]
    if missing or not heads:
        raise ValueError(
            f'FusedUpsamplingHook: {", ".join(missing) or "the model"} is no head of '
            f'MMSegmentation; the heads of the model: {", ".join(heads) or "none"}'
        )
    return {path: heads[path] for path in paths}


def _losses(head: BaseDecodeHead) -> list[nn.Module]:
    losses = head.loss_decode
    return list(losses) if isinstance(losses, nn.ModuleList) else [losses]


def _check(path: str, head: BaseDecodeHead) -> None:
    """Raises for a head whose loss would not be the same."""
    kind = type(head)
    fault = None
    if kind.loss_by_feat is not BaseDecodeHead.loss_by_feat or kind.loss not in (
        BaseDecodeHead.loss,
        BaseCascadeDecodeHead.loss,
    ):
        fault = 'computes its loss in a way of its own'
    elif head.sampler is not None:
        fault = f'samples pixels by the upsampled logits ({type(head.sampler).__name__})'
    else:
        fault = next(filter(None, map(_fault, _losses(head))), None)
    if fault is not None:
        raise ValueError(
            f'FusedUpsamplingHook cannot work for {path}: {kind.__name__} {fault}; leave the hook '
            'out, or name the heads that it is for with its argument `heads`'
        )


def _fault(loss: nn.Module) -> str | None:
    """Why a loss cannot do without upsampled logits."""
    inner = loss.pixel_loss if isinstance(loss, LossMaxPooling) else None
    if inner is not None and not isinstance(inner, PixelWeightingLoss):
        return f'pools the pixel_loss {type(inner).__name__}, which needs the upsampled logits'
    if isinstance(loss, PixelWeightingLoss):
        return None
    if not isinstance(loss, CrossEntropyLoss):
        return f'has the loss {type(loss).__name__}, which needs the upsampled logits'
    if loss.use_sigmoid or loss.use_mask or loss.reduction != 'mean':
        return 'has a CrossEntropyLoss that is not the mean of that of the soft-max'
    if loss.class_weight is not None:
        return 'has a CrossEntropyLoss with class weights; use WeightedCrossEntropyLoss for them'
    return None
