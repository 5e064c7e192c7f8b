"""Pictures of the pixels that a loss listens to."""

from pathlib import Path

import numpy as np
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmseg.registry import HOOKS, MODELS
from torch import Tensor

from ..losses.pixel_weighting_loss import PixelWeightingLoss
from ..utils.find_loss import find_losses
from .record import (
    PixelWeighting,
    WeightingRecorder,
    check_classes,
    describe,
    first_weighting,
    unwrapped,
    weighed_images,
)

_PADDING = 200  # the grey of ignored pixels in the other panels


@HOOKS.register_module()
class PixelWeightPictureHook(Hook):
    """Draws for a few training images what the loss makes of them.

    Every ``interval`` iterations, for the first images of the batch as they are trained on, side by
    side: image, label, prediction, pixel loss and weight, see :func:`pixel_weight_figure`. The
    picture goes to every back end of the visualizer, under ``pixel_weights``::

        custom_hooks = [*_base_.custom_hooks, dict(type='PixelWeightPictureHook', interval=500)]

    The weights are those of this very step, computed again from the same logits; the training
    stays the same, bit for bit. Of
    a loss that does not weigh pixels, such as MMSegmentation's cross-entropy, the picture shows
    what ``fallback`` would make of the same logits, and says so. Images are taken to be BGR before
    the model's data preprocessor, as MMSegmentation loads them.

    Args:
        interval: Iterations ≥ 1 from one picture to the next.
        num_images: How many images ≥ 1 to show; the picture grows beyond a screen from 4 on.
        loss: The loss, as a path in the model. None: of the losses of ``decode_head``, of the last
            one if there are several, the first that weighs pixels, else the first.
        fallback: Config of the loss whose weights are shown of a loss that has none. None:
            ``dict(type='LossMaxPooling')``.

    Raises:
        ValueError: Arguments out of range; at the start of a training, a ``loss`` that is not
            there, or a ``fallback`` that does not weigh pixels.
        RuntimeError: The loss took no part in an iteration that was to be drawn.
    """

    def __init__(
        self,
        interval: int = 500,
        num_images: int = 2,
        loss: str | None = None,
        fallback: dict | None = None,
    ) -> None:
        if not interval >= 1:
            raise ValueError(f'interval must be a number of iterations ≥ 1, got {interval}')
        if not num_images >= 1:
            raise ValueError(f'num_images must be ≥ 1, got {num_images}')
        self.interval = interval
        self.num_images = num_images
        self.loss = loss
        self.fallback = fallback or dict(type='LossMaxPooling')

    def before_train(self, runner) -> None:
        """Looks for the loss."""
        losses = find_losses(runner.model, self.loss, type(self).__name__)
        loss = first_weighting(losses)
        if loss is not None:
            self._recorder = WeightingRecorder(loss)
            self._title = describe(unwrapped(loss))
            return
        stand_in = MODELS.build(self.fallback)
        if not isinstance(stand_in, PixelWeightingLoss):
            raise ValueError(
                f'PixelWeightPictureHook: fallback must be a loss that weighs pixels, got '
                f'{type(stand_in).__name__}'
            )
        self._recorder = WeightingRecorder(losses[0], stand_in)
        self._title = describe(stand_in, instead_of=losses[0])

    def after_train(self, runner) -> None:
        """Stops listening."""
        self._recorder.close()

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        """Listens to the loss in the iterations that are drawn."""
        if self.every_n_train_iters(runner, self.interval):
            self._recorder.start()

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Draws these iterations, on the main process."""
        if not self.every_n_train_iters(runner, self.interval):
            return
        weighting = self._recorder.take()  # by every process: a loss may talk to the others
        if weighting is None:
            raise RuntimeError(
                f'PixelWeightPictureHook: {self.loss or "the loss of decode_head"} took no part '
                'in the iteration; name another with its argument `loss`'
            )
        meta = runner.train_dataloader.dataset.metainfo
        check_classes(weighting, len(meta['classes']), type(self).__name__)
        if is_main_process():
            picture = self._draw(self._rows(weighting, data_batch), meta)
            runner.visualizer.add_image('pixel_weights', picture, step=runner.iter + 1)

    def _draw(self, rows: list, meta: dict) -> np.ndarray:
        from .pixel_weight_figure import (  # late: it takes its time
            figure_to_array,
            pixel_weight_figure,
        )

        figure = pixel_weight_figure(rows, meta['classes'], meta['palette'], self._title)
        return figure_to_array(figure)

    def _rows(self, weighting: PixelWeighting, data_batch: dict) -> list:
        size = weighting.seg_label.shape[1:]
        images = [_padded_rgb(image, size) for image in data_batch['inputs'][: self.num_images]]
        samples = data_batch['data_samples'][: self.num_images]
        names = [Path(sample.get('img_path', '')).stem for sample in samples]
        return weighed_images(weighting, images, names)


def _padded_rgb(image: Tensor, size: tuple[int, int]) -> np.ndarray:
    """An image (1, h, w), or (3, h, w) in BGR, padded as its label is, as (H, W, 3) RGB."""
    padded = np.full((*size, 3), _PADDING, np.uint8)
    pixels = image[:3].expand(3, -1, -1).flip(0).permute(1, 2, 0).cpu().numpy()
    padded[: len(pixels), : pixels.shape[1]] = pixels
    return padded
