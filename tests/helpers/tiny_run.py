"""Trainings of a second: the shipped class-balanced toy config, on tiny label maps."""

from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.utils import register_all_modules
from tiny_data import CLASSES, write_label_maps

from mmseg_imbalance.utils.cpu_launch import prepare_cpu_launch
from mmseg_imbalance.utils.shipped import config_path

CONFIG = 'class_balanced_sampling/ce-cbs_deeplabv3-r18-d8_1xb8-800_toy-streets-128x256.py'
SIZE = (32, 32)
# pixels of 'middle' and 'rare' in every image
PIXELS = [[200, 0], [100, 0], [150, 64], [90, 3], [0, 0], [300, 0], [5, 0], [0, 50], [40, 0]]


def tiny_config(
    folder, iters=4, interval=2, workers=0, augment=True, loss=None, val=False, **options
):
    """The config of a training in ``folder``; ``options`` are dotted keys with ``__``."""
    if not (folder / 'data').exists():
        write_label_maps(folder / 'data', PIXELS, SIZE)
    cfg = Config.fromfile(config_path(CONFIG))
    pipeline = cfg.train_pipeline
    random_steps = ('RandomResize', 'ClassAwareRandomCrop', 'RandomFlip', 'PhotoMetricDistortion')
    for step in pipeline:
        if step.type == 'RandomResize':
            step.scale = SIZE
        if step.type == 'ClassAwareRandomCrop':
            step.crop_size = SIZE
    cfg.train_dataloader.dataset.pipeline = [
        step for step in pipeline if augment or step.type not in random_steps
    ]
    cfg.merge_from_dict(
        {
            'work_dir': str(folder / 'run'),
            'experiment_name': f'tiny {folder}',
            'visualizer.name': f'tiny {folder}',  # instances of one name are shared
            'train_cfg.max_iters': iters,
            'test_dataloader': None,
            'test_cfg': None,
            'test_evaluator': None,
            'train_dataloader.batch_size': 2,
            'train_dataloader.num_workers': workers,
            'train_dataloader.persistent_workers': workers > 0,
            'train_dataloader.dataset.type': 'TinyDataset',
            'train_dataloader.dataset.data_root': str(folder / 'data'),
            'train_dataloader.dataset.data_prefix': dict(img_path='images', seg_map_path='labels'),
            'train_dataloader.dataset.img_suffix': '.png',
            'train_dataloader.dataset.seg_map_suffix': '.png',
            'train_dataloader.sampler.class_prob': 'performance',  # all parts have their say
            'train_dataloader.sampler.min_pixels': 4,
            'model.data_preprocessor.size': SIZE,
            'model.backbone.stem_channels': 8,
            'model.backbone.base_channels': 8,
            'model.decode_head.in_channels': 64,
            'model.decode_head.channels': 8,
            'model.decode_head.num_classes': len(CLASSES),
            'default_hooks.checkpoint.interval': max(iters // 2, 1),
            'default_hooks.logger.interval': 1,
            'custom_hooks': [dict(type='ClassFeedbackHook', interval=interval)],
        }
    )
    cfg.launcher = 'none'
    if val:
        cfg.val_dataloader = dict(cfg.train_dataloader, sampler=dict(type='DefaultSampler'))
        cfg.val_dataloader.dataset = dict(
            cfg.train_dataloader.dataset, pipeline=cfg.test_pipeline[:1] + cfg.test_pipeline[2:]
        )
    else:
        cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    if loss is not None:
        cfg.model.decode_head.loss_decode = loss
    cfg.merge_from_dict({key.replace('__', '.'): value for key, value in options.items()})
    return cfg


def run(cfg, *hooks):
    """Trains in this process, with more hooks; returns the runner."""
    register_all_modules(init_default_scope=True)
    prepare_cpu_launch(cfg)
    runner = Runner.from_cfg(cfg)
    for hook in hooks:
        runner.register_hook(hook)
    runner.train()
    for loop in (runner.train_loop, runner.val_loop):
        iterator = getattr(getattr(loop, 'dataloader', None), '_iterator', None)
        if iterator is not None:  # left to the garbage collector, workers take five seconds to go
            iterator._shutdown_workers()
    return runner
