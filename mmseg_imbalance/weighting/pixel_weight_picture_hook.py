"""Pictures of how a loss weighs image pixels."""

from pathlib import Path

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmseg.registry import HOOKS, MODELS
from torch import Tensor

from ..datasets.store import drawn_statistics, named_counting
from ..losses.pixel_weighting_loss import PixelWeightingLoss
from ..utils.class_names import trained_classes
from ..utils.curves import write_picture
from ..utils.find_loss import find_losses, unwrapped
from ..utils.predicted_classes import threshold_of
from .record import (
    PixelWeighting,
    WeightingRecorder,
    describe,
    first_weighting,
    not_compiled,
    weighed_images,
)
from .weighting_hook import WeightingHook

_PADDING = 200  # the grey of ignored pixels in the other panels


@HOOKS.register_module()
class PixelWeightPictureHook(WeightingHook):
    """Draws how the loss weighs pixels of a few training images.

    Every ``interval`` iterations, it shows the first images of the batch as they are trained on:
    image, label, prediction, pixel loss and weight side by side, see :func:`pixel_weight_figure`.
    The picture goes to every back end of the visualizer, under ``pixel_weights``::

        custom_hooks = [*_base_.custom_hooks, dict(type='PixelWeightPictureHook', interval=500)]

    The weights are those of the same step, recomputed from the same logits; training stays the
    same, bit for bit. For a loss that does not weigh pixels, such as MMSegmentation's
    cross-entropy, the picture shows the weights that ``fallback`` would give for the same logits,
    and says so. Images are assumed to be BGR before the model's data preprocessor, as
    MMSegmentation loads them.

    Args:
        interval: Iterations ≥ 1 from one picture to the next.
        num_images: Number of images ≥ 1 to show; from 4 on, the picture is larger than a screen.
        loss: Path of the loss in the model. None: the first loss of ``decode_head`` (of the last
            head if there are several) that weighs pixels, else its first loss.
        fallback: Config of the loss whose weights are shown if the loss has none. None:
            ``dict(type='LossMaxPooling')``.

    Raises:
        ValueError: For arguments out of range; at the start of training, if the model has no such
            ``loss`` or if ``fallback`` does not weigh pixels; if logits and data set have different
            numbers of classes.
        RuntimeError: If the loss was not called in an iteration to be drawn.
    """

    def __init__(
        self,
        interval: int = 500,
        num_images: int = 2,
        loss: str | None = None,
        fallback: dict | None = None,
    ) -> None:
        super().__init__(interval, loss)
        if not num_images >= 1:
            raise ValueError(f'num_images must be ≥ 1, got {num_images}')
        self.num_images = num_images
        self.fallback = fallback or dict(type='LossMaxPooling')

    def before_train(self, runner) -> None:
        """Finds the loss."""
        self._classes = trained_classes(runner)
        model = unwrapped(runner.model)
        losses = find_losses(model, self.loss, type(self).__name__)
        loss, threshold = first_weighting(losses), threshold_of(model)
        if loss is not None:
            self._recorder = WeightingRecorder(loss, threshold=threshold)
            self._title = describe(not_compiled(loss))
            return
        stand_in = MODELS.build(self.fallback)
        if not isinstance(stand_in, PixelWeightingLoss):
            raise ValueError(
                f'PixelWeightPictureHook: fallback must be a loss that weighs pixels, got '
                f'{type(stand_in).__name__}'
            )
        if stand_in.needs_statistics:
            named = named_counting(runner.cfg)
            stand_in.use_statistics(drawn_statistics(runner.train_dataloader, *named))
        self._recorder = WeightingRecorder(losses[0], stand_in, threshold)
        self._title = describe(stand_in, instead_of=losses[0])

    def show(self, runner, weighting: PixelWeighting, data_batch: dict) -> None:
        """Draws the first images of the batch, on the main process."""
        if not is_main_process():
            return
        # imported late: Matplotlib is slow to import
        from .pixel_weight_figure import figure_to_array, pixel_weight_figure

        palette = runner.train_dataloader.dataset.metainfo['palette']
        rows = self._rows(weighting, data_batch)
        figure = pixel_weight_figure(rows, self._classes, palette, self._title)
        write_picture(runner, 'pixel_weights', figure_to_array(figure))

    def _rows(self, weighting: PixelWeighting, data_batch: dict) -> list:
        size = weighting.seg_label.shape[1:]
        images = [_padded_rgb(image, size) for image in data_batch['inputs'][: self.num_images]]
        samples = data_batch['data_samples'][: self.num_images]
        names = [Path(sample.get('img_path', '')).stem for sample in samples]
        return weighed_images(weighting, images, names)


def _padded_rgb(image: Tensor, size: tuple[int, int]) -> np.ndarray:
    """Turns (C, h, w), the first three channels in BGR, into (H, W, 3) RGB, padded like the label.

    Of fewer channels the first is shown; what is not of 8 bits is stretched from black to white.
    """
    padded = np.full((*size, 3), _PADDING, np.uint8)
    pixels = image[: 3 if len(image) >= 3 else 1].cpu()
    if pixels.dtype != torch.uint8:
        low, high = pixels.double().aminmax()
        pixels = (255 * (pixels - low) / (high - low)).nan_to_num().to(torch.uint8)
    pixels = pixels.expand(3, -1, -1).flip(0).permute(1, 2, 0).numpy()
    padded[: len(pixels), : pixels.shape[1]] = pixels
    return padded
