"""Predictions of a trained segmentor without a runner.

The package itself does not import this module, which imports all models of MMSegmentation.
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
from .run_config import RunConfigError, inner_datasets


def add_device(parser: argparse.ArgumentParser) -> None:
    """Adds the option ``--device`` for :func:`build_inferencer` to a tool's parser."""
    parser.add_argument(
        '--device',
        default='cuda:0' if torch.cuda.is_available() else 'cpu',
        help='cpu, cuda:0, … (default: the first GPU if there is one, here %(default)s)',
    )


class StrictInferencer(MMSegInferencer):
    """An ``MMSegInferencer`` that refuses the weights of another model.

    MMSegmentation's own logs which weights do not fit and predicts with random ones instead.
    """

    def _init_pipeline(self, cfg):
        # mmseg's looks for names, in a data set without a wrapper; pure Python configs give classes
        steps = inner_datasets(cfg.test_dataloader.dataset)[0].pipeline
        steps = [dict(step, type=_name(step['type'])) for step in steps]
        dataset = dict(pipeline=steps)
        return super()._init_pipeline(Config(dict(test_dataloader=dict(dataset=dataset))))

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


def _name(kind: str | type) -> str | type:
    """Returns the name of a transform of MMSegmentation or MMCV, other ones as they are."""
    known = getattr(kind, '__module__', '').startswith(('mmcv.', 'mmseg.'))
    return kind.__name__ if known and isinstance(kind, type) else kind


def build_inferencer(cfg: Config, checkpoint: str, device: str) -> StrictInferencer:
    """Builds the model of a config with the weights of a checkpoint, and its test pipeline.

    Args:
        cfg: A training's config.
        checkpoint: File or URL.
        device: A PyTorch device, such as ``'cpu'`` or ``'cuda:0'``.

    Raises:
        CheckpointError: If the checkpoint is missing or damaged, or could run code.
        RunConfigError: If the device does not exist, the checkpoint is of another model, or the
            model cannot be built from config and checkpoint.
    """
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # AssertionError: PyTorch without CUDA
        raise RunConfigError(f'device {device!r} cannot be used: {first_line(error)}') from error
    check_checkpoint(checkpoint)
    try:
        with harmless_loads():
            return StrictInferencer(cfg, checkpoint, device=device)
    except Exception as error:  # users' files: a config is Python and may raise anything
        raise RunConfigError(
            f'cannot use checkpoint {checkpoint} with config {cfg.filename}: {first_line(error)}'
        ) from error


def predict(inferencer: MMSegInferencer, images: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Segments images in one batch.

    Args:
        inferencer: The result of :func:`build_inferencer`.
        images: BGR images (H, W, 3), uint8. The test pipeline must turn them into arrays of equal
            size, as it does with images of equal size.

    Returns:
        Each image's prediction (H, W), int64 class indices in the image's own resolution.
    """
    # Not inferencer(…), because upstream's shows a progress bar at every call.
    (batch,) = inferencer.preprocess(list(images), batch_size=len(images))
    samples = inferencer.forward(batch)
    # A head with one channel for two classes predicts in floating point.
    return [sample.pred_sem_seg.data[0].long().cpu().numpy() for sample in samples]
