"""Runs to compare: tiny trainings, and results made up for tests of tables and figures."""

import copy
import json

import numpy as np
from mmengine.hooks import Hook
from mmseg.registry import HOOKS
from tiny_run import run, tiny_config

from lab.study.run import Run


@HOOKS.register_module(force=True)
class StopHook(Hook):
    """Ends a training after an iteration, as a user's interrupt does."""

    def __init__(self, after):
        self.after = after

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.after:
            raise KeyboardInterrupt


def train(folder, name, seed=0, config='ce_tiny', stop=None, summary=True, hooks=(), **options):
    """Trains for 4 iterations in ``folder/name``, validating at 2 and 4, or until ``stop``."""
    sampler = dict(_delete_=True, type='InfiniteSampler', shuffle=True)
    options = dict(train_cfg__val_interval=2, train_dataloader__sampler=sampler) | options
    # of a copy, as merging takes out _delete_
    cfg = tiny_config(folder, val=True, augment=False, **copy.deepcopy(options))
    session = len(list((folder / name).glob('*/vis_data')))
    cfg.work_dir = str(folder / name)
    cfg.experiment_name = cfg.visualizer.name = f'{folder} {name} {session}'  # shared by name
    cfg.randomness.seed = seed
    cfg.custom_hooks = [dict(type='RunSummaryHook')] * summary + list(hooks)
    if stop is not None:
        cfg.custom_hooks.append(dict(type='StopHook', after=stop, priority='VERY_LOW'))
    object.__setattr__(cfg, '_filename', f'{config}.py')  # the name of the dumped config
    try:
        run(cfg)
    except KeyboardInterrupt:
        assert stop is not None
    return folder / name


def scalars(work_dir):
    """All records that a training of one session logged."""
    (file,) = work_dir.glob('*/vis_data/scalars.json')
    return [json.loads(line) for line in file.read_text().splitlines()]


def confusion_scores(file):
    """IoU and recall in percent by class, from the confusion matrix in class_scores.json."""
    content = json.loads(file.read_text())
    matrix = np.array(content['confusion'], float)
    names = [row['class'] for row in content['classes']]
    with np.errstate(invalid='ignore'):
        iou = 100 * np.diag(matrix) / (matrix.sum(0) + matrix.sum(1) - np.diag(matrix))
        recall = 100 * np.diag(matrix) / matrix.sum(1)
    return dict(zip(names, iou, strict=True)), dict(zip(names, recall, strict=True))


def made_run(
    method,
    seed,
    iou,
    acc,
    classes=None,
    pixels=None,
    share=None,
    curves=None,
    images=None,
    **kwargs,
):
    """A run of these scores per class; its means are theirs, and its settings its method."""
    classes = classes or [f'class {c}' for c in range(len(iou))]
    named = {kind: dict(zip(classes, map(float, v), strict=True))
             for kind, v in (('IoU', iou), ('Acc', acc))}  # fmt: skip
    given = {
        'work_dir': f'runs/{method}-{seed}',
        'config': f'{method}_net_data',
        'seed': seed,
        'data': {'type': 'TinyDataset'},
        'unit': 'iteration',
        'length': 40,
        'details': {'optimizer': 'SGD', 'lr': 0.1},
        'scores': named,
        'pixels': pixels and dict(zip(classes, pixels, strict=True)),
        'training_share': share and dict(zip(classes, share, strict=True)),
        'image_share': images and dict(zip(classes, images, strict=True)),
        'settings': {'model.loss': method},
        'curves': curves or {},
    }
    if 'means' not in kwargs:
        kwargs['means'] = {'aAcc': 90.0, 'mIoU': np.nanmean(iou), 'mAcc': np.nanmean(acc)}
    return Run(**(given | kwargs))
