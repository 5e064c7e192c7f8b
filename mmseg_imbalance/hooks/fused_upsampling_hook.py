"""Spares a training the upsampled logits."""

from collections.abc import Callable

from mmengine.hooks import Hook
from mmseg.registry import HOOKS

from ..utils.find_loss import unwrapped


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
        self._restore: list[Callable[[], None]] = []

    def before_train(self, runner) -> None:
        """Has the heads compute their losses in stripes."""
        from .fused_upsampling import find_heads, fuse  # late: with it come all models of mmseg

        self.after_train()  # of a training that ended with an error
        heads = find_heads(unwrapped(runner.model), self.heads)
        self._restore = [fuse(head, self.compile) for head in heads.values()]
        runner.logger.info(f'fused upsampling and loss of {", ".join(heads)}')

    def after_train(self, runner=None) -> None:
        """Leaves the model as it was."""
        while self._restore:
            self._restore.pop()()
