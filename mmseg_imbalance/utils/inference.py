"""Predictions of a trained segmentor without a runner.

The package itself does not import this module, which imports all models of MMSegmentation.
"""

import argparse
from collections.abc import Sequence

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.dataset import pseudo_collate
from mmengine.fileio import list_from_file
from mmseg.apis import MMSegInferencer
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS
from mmseg.structures import SegDataSample
from mmseg.visualization import SegLocalVisualizer
from torch import nn

from .checkpoints import check_checkpoint, harmless_loads
from .class_names import class_names
from .command_line import first_line
from .errors import ToolError
from .misfits import misfits
from .run_config import RunConfigError, inner_datasets
from .settings import type_name


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
        steps = inner_datasets(_tested(cfg))[0].pipeline
        steps = [dict(step, type=_name(step['type'])) for step in steps]
        dataset = dict(pipeline=steps)
        return super()._init_pipeline(Config(dict(test_dataloader=dict(dataset=dataset))))

    def _init_visualizer(self, cfg):
        return SegLocalVisualizer()  # mmseg's takes no other one; nothing is drawn with it here

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


def _tested(cfg: Config) -> ConfigDict:
    return (cfg.get('test_dataloader') or cfg.val_dataloader).dataset


def _name(kind: str | type) -> str | type:
    """Returns the name of a transform of MMSegmentation or MMCV, other ones as they are."""
    path = kind if isinstance(kind, str) else getattr(kind, '__module__', '')
    return type_name(kind) if path.startswith(('mmcv.', 'mmseg.')) else kind


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


def labelled_dataset(
    cfg: Config, split: str, model: nn.Module, ann_file: str | None = None
) -> BaseSegDataset:
    """Builds the data set of a split as it is tested: without augmentation and with labels.

    Args:
        cfg: A training's config.
        split: ``'train'``, ``'val'`` or ``'test'``; of several data sets, the first one.
        model: The model whose classes it has.
        ann_file: List of the images, instead of the data set's own.

    Raises:
        ToolError: If it has no labels, if its classes differ from the model's, or if it is not one
            of MMSegmentation's data sets.
    """
    pipeline = inner_datasets(_tested(cfg))[0].pipeline
    if not any('Annotation' in type_name(step.type) for step in pipeline):
        raise ToolError(
            "the config's test pipeline loads no labels: add dict(type='LoadAnnotations') to "
            'test_dataloader.dataset.pipeline, after Resize'
        )
    plain = dict(inner_datasets(cfg[f'{split}_dataloader'].dataset)[0], pipeline=pipeline)
    if ann_file is not None:
        plain['ann_file'] = ann_file
        plain.pop('indices', None)  # of the data set's own list
    dataset = DATASETS.build(plain)
    if not isinstance(dataset, BaseSegDataset):
        raise ToolError(
            f'{split}_dataloader.dataset is a {type(dataset).__name__}, not a data set of '
            'MMSegmentation; give it another one with --cfg-options'
        )
    if ann_file is not None:
        _check_listed(dataset, ann_file)
    found = class_names(dataset.metainfo, f'{split}_dataloader.dataset')
    if len(found) != model.num_classes:
        raise ToolError(
            f'the {type(dataset).__name__} of {split}_dataloader has {len(found)} classes, the '
            f'model predicts {model.num_classes}'
        )
    known = class_names(model.dataset_meta, 'the checkpoint')
    if found != known and sorted(found) == sorted(known):
        raise ToolError(
            f'{split}_dataloader.dataset has the classes {", ".join(found)}, the checkpoint '
            f'{", ".join(known)}: they need one order'
        )
    return dataset


def _check_listed(dataset: BaseSegDataset, ann_file: str) -> None:
    """Checks that a data set has as many images as ``ann_file``, and not all of its folder."""
    listed = len([line for line in list_from_file(ann_file) if line.strip()])
    if len(dataset) != listed:
        raise ToolError(
            f'{type(dataset).__name__} has {len(dataset)} images, but {ann_file} lists {listed}: '
            'its load_data_list has to read ann_file, as that of BaseSegDataset does'
        )


@torch.no_grad()
def predict_labelled(model: nn.Module, dataset: BaseSegDataset, index: int) -> SegDataSample:
    """Predicts one image of a data set at the resolution of its label map.

    Returns:
        The sample, with ``seg_logits``, ``pred_sem_seg`` and ``gt_sem_seg`` of the same size.

    Raises:
        ToolError: If the image cannot be loaded, or its label is missing or of another size.
    """
    info = dataset.get_data_info(index)
    if not info.get('seg_map_path'):
        raise ToolError(f'{info["img_path"]} has no label')
    try:
        sample = dataset[index]
    except Exception as error:  # pipelines raise all kinds of errors
        raise ToolError(f'cannot load {info["img_path"]}: {first_line(error)}') from error
    (result,) = model.test_step(pseudo_collate([sample]))
    if 'gt_sem_seg' not in result:
        raise ToolError(f'{result.img_path}: the test pipeline hands over no label (gt_sem_seg)')
    found, (height, width) = result.seg_logits.shape, result.gt_sem_seg.shape
    if found != (height, width):
        raise ToolError(
            f'{result.img_path}: its label is of {width} x {height} pixels, its prediction of '
            f'{found[1]} x {found[0]}; LoadAnnotations belongs after Resize in the test pipeline'
        )
    return result


def predict(inferencer: MMSegInferencer, images: Sequence[np.ndarray | str]) -> list[np.ndarray]:
    """Segments images in one batch.

    Args:
        inferencer: The result of :func:`build_inferencer`.
        images: BGR images (H, W, 3), uint8, or files, which the test pipeline loads. It must turn
            them into arrays of equal size, as it does with images of equal size.

    Returns:
        Each image's prediction (H, W), int64 class indices in the image's own resolution.
    """
    # Not inferencer(…), because upstream's shows a progress bar at every call.
    (batch,) = inferencer.preprocess(list(images), batch_size=len(images))
    samples = inferencer.forward(batch)
    # A head with one channel for two classes predicts in floating point.
    return [sample.pred_sem_seg.data[0].long().cpu().numpy() for sample in samples]
