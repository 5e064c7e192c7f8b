"""What two real trainings on toy streets see of the rarest class, plain and class-balanced."""

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.hooks import Hook
from mmseg.registry import HOOKS
from tiny_run import run

from lab.streets.make_toy_streets import make_toy_streets
from mmseg_imbalance.utils.shipped import config_path

SETTING = 'deeplabv3-r18-d8_1xb8-800_toy-streets-128x256.py'
SIZE = (128, 64)  # width, height


@HOOKS.register_module(force=True)
class SeenHook(Hook):
    """Counts what is trained on."""

    def before_train(self, runner):
        runner.seen = np.zeros((0, 10), int)

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        for sample in data_batch['data_samples']:
            label = sample.gt_sem_seg.data.numpy().ravel()
            runner.seen = np.vstack([runner.seen, np.bincount(label, minlength=256)[:10]])


@pytest.fixture(scope='module')
def long_tail(tmp_path_factory):
    """Toy streets of which one in twenty has a bicycle: the list of them, and the rarest class."""
    root = tmp_path_factory.mktemp('toy') / 'streets'
    make_toy_streets(root, dict(train=100), seed=0, size=SIZE, nproc=2)
    labels = sorted((root / 'gtFine/train').rglob('*.png'))
    counts = np.array(
        [np.bincount(cv2.imread(str(p), -1).ravel(), minlength=256)[:10] for p in labels]
    )
    rarest = int(counts.sum(0).argmin())
    without = [p for p, n in zip(labels, counts[:, rarest], strict=True) if n == 0]
    holding = [p for p, n in zip(labels, counts[:, rarest], strict=True) if n >= 8]
    chosen = without[:38] + holding[:2]
    names = [
        str(p.relative_to(root / 'gtFine/train')).replace('_gtFine_labelTrainIds.png', '')
        for p in chosen
    ]
    (root / 'long_tail.txt').write_text('\n'.join(names))
    assert len(chosen) == 40
    return root, rarest


def train(folder, long_tail, name, **sampler):
    cfg = Config.fromfile(config_path(name))
    for step in cfg.train_dataloader.dataset.pipeline:
        if step.type == 'RandomResize':
            step.scale = SIZE
        if 'Crop' in step.type:
            step.crop_size = SIZE[::-1]
    model = dict(
        data_preprocessor=dict(size=SIZE[::-1]),
        backbone=dict(stem_channels=8, base_channels=8),
        decode_head=dict(in_channels=64, channels=8),
    )
    cfg.merge_from_dict(
        {
            'model': model,
            'work_dir': str(folder),
            'experiment_name': f'seen {folder}',
            'visualizer.name': f'seen {folder}',
            'launcher': 'none',
            'train_cfg.max_iters': 30,
            'val_dataloader': None, 'val_cfg': None, 'val_evaluator': None,
            'test_dataloader': None, 'test_cfg': None, 'test_evaluator': None,
            'train_dataloader.num_workers': 0,
            'train_dataloader.persistent_workers': False,
            'train_dataloader.dataset.data_root': str(long_tail[0]),
            'train_dataloader.dataset.ann_file': 'long_tail.txt',
            'train_dataloader.sampler': dict(cfg.train_dataloader.sampler, **sampler),
            'custom_hooks': [*cfg.get('custom_hooks', []), dict(type='SeenHook')],
        }
    )  # fmt: skip
    return run(cfg)


@pytest.mark.slow
def test_rarest_class_is_seen_five_times_as_often(tmp_path, long_tail):
    plain = train(tmp_path / 'plain', long_tail, f'cross_entropy/ce_{SETTING}')
    balanced = train(
        tmp_path / 'balanced', long_tail, f'class_balanced_sampling/ce-cbs_{SETTING}',
        class_prob='rare', uniform_ratio=0.25, min_pixels=8,
    )  # fmt: skip
    rarest = long_tail[1]
    assert plain.seen.shape == balanced.seen.shape == (240, 10)
    pixels = [seen[:, rarest].sum() / seen.sum() for seen in (plain.seen, balanced.seen)]
    samples = [(seen[:, rarest] > 0).mean() for seen in (plain.seen, balanced.seen)]
    print(pixels, samples)
    assert 0 < pixels[0] and pixels[1] >= 5 * pixels[0]
    assert 0 < samples[0] and samples[1] >= 5 * samples[0]
