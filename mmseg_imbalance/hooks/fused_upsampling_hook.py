"""A hook for training without storing upsampled logits."""

from collections.abc import Callable

from mmengine.hooks import Hook
from mmseg.registry import HOOKS

from ..utils.find_loss import unwrapped


@HOOKS.register_module()
class FusedUpsamplingHook(Hook):
    """Trains without storing upsampled logits, the largest tensors of most segmentation networks.

    MMSegmentation's heads upsample their logits to the size of the labels, four- or eightfold per
    side, and compute loss and accuracy from the result. This hook makes every head do so stripe by
    stripe, discarding each stripe after use. Values and gradients are the same up to rounding, and
    the loss needs a fraction of the memory. Any model needs only this line::

        custom_hooks = [*_base_.custom_hooks, dict(type='FusedUpsamplingHook')]

    The hook works for every head that does not override ``BaseDecodeHead.loss_by_feat``, such as
    ``ASPPHead``, ``DepthwiseSeparableASPPHead``, ``FCNHead``, ``PSPHead``, ``UPerHead`` and
    ``SegformerHead``, with all losses of this package and MMSegmentation's ``CrossEntropyLoss``
    (of the soft-max, without class weights). Predictions do not change. Under mixed precision the
    logits are upsampled in float32, whereas MMSegmentation rounds them to half precision.

    Args:
        heads: Paths of the heads in the model, such as ``'decode_head'`` and
            ``'auxiliary_head.0'``. None means all.
        compile: Whether to ``torch.compile`` the pass over the stripes, in the first step.

    Raises:
        ValueError: At the start of a training, if a head does not exist, computes its loss in its
            own way, samples pixels or has a loss that needs the upsampled logits.
    """

    def __init__(self, heads: list[str] | None = None, compile: bool = False) -> None:
        self.heads = heads
        self.compile = compile
        self._restore: list[Callable[[], None]] = []

    def before_train(self, runner) -> None:
        """Makes the heads compute their losses in stripes."""
        from .fused_upsampling import find_heads, fuse  # imported late: it loads all mmseg models

        self.after_train()  # undoes a training that ended with an error
        heads = find_heads(unwrapped(runner.model), self.heads)
        self._restore = [fuse(head, self.compile) for head in heads.values()]
        runner.logger.info(f'fused upsampling and loss of {", ".join(heads)}')

    def after_train(self, runner=None) -> None:
        """Restores the model."""
        while self._restore:
            self._restore.pop()()
