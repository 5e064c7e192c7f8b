"""Predictions of a trained segmentor outside of a runner.

Not imported by the package itself, which would import all models of MMSegmentation with it.
"""

import argparse
from collections.abc import Sequence

import numpy as np
import torch
from mmengine.config import Config
from mmseg.apis import MMSegInferencer
from torch import nn

from .checkpoints import check_checkpoint, harmless_loads
from .command_line import first_line
from .misfits import misfits
from .run_config import RunConfigError


def add_device(parser: argparse.ArgumentParser) -> None:
    """Adds ``--device``, for :func:`build_inferencer`, to a tool's parser."""
    parser.add_argument(
        '--device',
        default='cuda:0' if torch.cuda.is_available() else 'cpu',
        help='cpu, cuda:0, … (default: the first GPU if there is one, here %(default)s)',
    )


class StrictInferencer(MMSegInferencer):
    """An ``MMSegInferencer`` that refuses weights that are not those of the model.

    MMSegmentation's own logs what does not fit and predicts with random weights in its place.
    """

    def _load_weights_to_model(self, model: nn.Module, checkpoint: dict, cfg) -> None:
        found = misfits(model, checkpoint)
        if found:
            raise RunConfigError(f'its weights are of another model: {"; ".join(found)}')
        super()._load_weights_to_model(model, checkpoint, cfg)
        names, colours = model.dataset_meta['classes'], model.dataset_meta['palette']
        if not len(names or ()) == len(colours or ()) == model.num_classes:
            raise RunConfigError(
                f'it names {len(names or ())} classes and {len(colours or ())} colours '
                f'(meta.dataset_meta), but the model predicts {model.num_classes} classes'
            )


def build_inferencer(cfg: Config, checkpoint: str, device: str) -> StrictInferencer:
    """Builds the model of a config with the weights of a checkpoint, and its test pipeline.

    Args:
        cfg: A training's config.
        checkpoint: File or URL.
        device: A PyTorch device, such as ``'cpu'`` or ``'cuda:0'``.

    Raises:
        CheckpointError: The checkpoint is missing or damaged, or holds what could run code.
        RunConfigError: There is no such device, the checkpoint is that of another model, or config
            and checkpoint make no model.
    """
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # the latter: PyTorch without CUDA
        raise RunConfigError(f'device {device!r} cannot be used: {first_line(error)}') from error
    check_checkpoint(checkpoint)
    try:
        with harmless_loads():
            return StrictInferencer(cfg, checkpoint, device=device)
    except Exception as error:  # both files are the user's, and a config is Python
        raise RunConfigError(
            f'cannot use checkpoint {checkpoint} with config {cfg.filename}: {first_line(error)}'
        ) from error


def predict(inferencer: MMSegInferencer, images: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Segments images in one batch.

    Args:
        inferencer: What :func:`build_inferencer` returned.
        images: (H, W, 3) uint8 BGR each; the test pipeline has to make arrays of one size of
            them, as it does of images of one size.

    Returns:
        For every image its prediction (H, W) int64, class indices in the image's own resolution.
    """
    # not inferencer(…): upstream's draws a progress bar of its own for every call
    (batch,) = inferencer.preprocess(list(images), batch_size=len(images))
    samples = inferencer.forward(batch)
    # A head with one channel for two classes predicts in floating point.
    return [sample.pred_sem_seg.data[0].long().cpu().numpy() for sample in samples]
