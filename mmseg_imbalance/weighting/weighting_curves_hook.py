"""Curves of how a loss weighs the pixels."""

import torch
from mmengine.dist import all_reduce
from mmseg.registry import HOOKS
from torch import Tensor

from ..utils.class_names import trained_classes
from ..utils.curves import add_curves
from ..utils.find_loss import find_losses
from .record import PixelWeighting, WeightingRecorder, curves_of, first_weighting
from .weighting_hook import WeightingHook


@HOOKS.register_module()
class WeightingCurvesHook(WeightingHook):
    """Shows during training how a loss weighs pixels and classes.

    Every ``interval`` iterations it summarises the weights of that one batch, and writes to every
    back end of the visualizer::

        custom_hooks = [dict(type='WeightingCurvesHook', interval=50)]

    - ``train/mean_weight``: the mean weight of the valid pixels;
    - ``train/support_90``: the share of the pixels that carries 90 % of the weight, in (0, 1];
    - ``train/saturated``: for :class:`LossMaxPooling`, the share of the pixels that get the largest
      possible weight;
    - ``train/class_weight/<class>``: the mean weight of a class's pixels; for :class:`RecallLoss`
      this is the class weight, about 1 - recall. A class that is not in the batch has no point
      there.

    A weight is the total factor of a pixel loss, from the loss's own weighing, ``class_weight`` and
    a pixel sampler.

    The weights are recomputed from the same logits after the iteration. Training itself stays the
    same, bit for bit. In distributed training, the curves are averaged over the processes. A loss
    adds its own curves with :meth:`PixelWeightingLoss.curves`. A model that is trained with other
    losses, which weigh all pixels equally, has no such curves.

    Args:
        interval: Iterations ≥ 1 from one recorded batch to the next.
        loss: Path of the loss in the model, such as ``'auxiliary_head.loss_decode'``. None: the
            first loss of ``decode_head`` (of the last head if there are several) that weighs
            pixels.

    Raises:
        ValueError: If ``interval`` < 1; at the start of training, if ``loss`` (or, by default,
            ``decode_head.loss_decode``) does not exist or if a given ``loss`` does not weigh
            pixels; if logits and data set differ in their number of classes.
        RuntimeError: If the loss was not called in an iteration to be recorded.
    """

    def before_train(self, runner) -> None:
        """Finds the loss."""
        self._classes = trained_classes(runner)
        losses = find_losses(runner.model, self.loss, type(self).__name__)
        loss = first_weighting(losses)
        if loss is None and self.loss is not None:
            raise ValueError(
                f'WeightingCurvesHook needs a loss that weighs pixels; {self.loss} is '
                f'{", ".join(type(loss).__name__ for loss in losses)}'
            )
        self._recorder = None if loss is None else WeightingRecorder(loss)

    def show(self, runner, weighting: PixelWeighting, data_batch: dict) -> None:
        """Writes the curves."""
        scalars = self._scalars(curves_of(self._recorder.loss, weighting))
        add_curves(runner.visualizer, scalars, runner.iter + 1)

    def _scalars(self, curves: dict[str, Tensor]) -> dict[str, float]:
        names = []
        for name, value in curves.items():
            tag = f'train/{name}'
            names += [f'{tag}/{cls}' for cls in self._classes] if value.dim() else [tag]
        values = torch.cat([value.reshape(-1) for value in curves.values()])
        known = ~values.isnan()
        # A class may have pixels in one process and none in another.
        sums = torch.stack([torch.where(known, values, 0.0), known.to(values.dtype)])
        all_reduce(sums)
        totals, processes = sums.tolist()
        return {
            name: total / count
            for name, total, count in zip(names, totals, processes, strict=True)
            if count
        }
