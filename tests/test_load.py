"""What thousands of steps leave behind in memory, as days of training would."""

import resource
from multiprocessing import forkserver
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from batches import draw_batch
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATA_SAMPLERS, MODELS
from tiny_data import tiny_dataset, write_label_maps
from torch.utils.data import DataLoader

from lab.streets.make_toy_streets import make_toy_streets
from mmseg_imbalance.sampling.class_aware_random_crop import ClassAwareRandomCrop

pytestmark = pytest.mark.slow

MEGABYTE = 2**20


def resident(process='self') -> int:
    """Bytes of a process in physical memory."""
    pages = int(Path(f'/proc/{process}/statm').read_text().split()[1])
    return pages * resource.getpagesize()


def in_a_process(function, *args):
    """Calls ``function(0, *args)`` in a fresh process, whose memory nobody else has used.

    It is a fork of one that has done nothing but import other packages.
    """
    forkserver.set_forkserver_preload(['mmseg.apis', 'mmseg.datasets', 'torch._dynamo'])
    mp.start_processes(function, args, nprocs=1, start_method='forkserver')


def grows_by(step, steps: int) -> int:
    """Bytes that a process has more in the last quarter of its steps than in the second.

    The least of each: the system hands out pages and takes them back at will, megabytes at once.
    """
    readings = []
    for i in range(steps):
        step()
        if i % (steps // 100) == 0:
            readings.append(resident())
    return min(readings[75:]) - min(readings[25:50])


def train_a_loss(_, cfg):
    loss = MODELS.build(cfg)
    batches = [draw_batch(seed, (2, 5, 32, 32)) for seed in range(10)]
    drawn = iter(range(10**6))

    def step():
        logits, label = batches[next(drawn) % 10]
        loss(logits.requires_grad_(), label).backward()
        logits.grad = None

    # A single map of pixel losses kept from each step would be 16 MB.
    growth = grows_by(step, 4000)
    assert growth < 4 * MEGABYTE, growth


def test_thousands_of_steps_of_a_loss():
    in_a_process(train_a_loss, dict(type='LossMaxPooling'))


def draw_with_feedback(_, folder):
    sampler = DATA_SAMPLERS.build(
        dict(
            type='ClassBalancedInfiniteSampler',
            dataset=tiny_dataset(folder),
            seed=0,
            class_prob='performance',
            min_pixels=1,
        )
    )
    draws = iter(sampler)
    rng = np.random.default_rng(0)
    used = iter(range(10**6))

    def step():  # a batch of eight, and feedback after every one
        for _ in range(8):
            next(draws)
        scores = rng.random((2, 4))
        sampler.update(dict(IoU=scores[0], recall=scores[1]), 8 * next(used))

    growth = grows_by(step, 3000)
    assert growth < 4 * MEGABYTE, growth
    assert len(sampler.state_dict()['schedule']) <= 3  # what a checkpoint would hold


def test_thousands_of_batches_of_the_sampler(tmp_path):
    write_label_maps(tmp_path, [[9, 1], [0, 5], [20, 0]])
    in_a_process(draw_with_feedback, str(tmp_path))


class Crops(torch.utils.data.Dataset):
    """Crops of a few streets."""

    def __init__(self, streets: BaseSegDataset, number: int) -> None:
        self.streets, self.number = streets, number

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, i: int) -> np.ndarray:
        return self.streets[i % len(self.streets)]['gt_seg_map']


def crop_with_workers(_, folder):
    streets = BaseSegDataset(
        data_root=folder,
        data_prefix=dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train'),
        img_suffix='_leftImg8bit.png',
        seg_map_suffix='_gtFine_labelTrainIds.png',
        metainfo=dict(classes=tuple(map(str, range(10)))),
        pipeline=[dict(type='mmseg.LoadImageFromFile'), dict(type='mmseg.LoadAnnotations')],
    )
    streets.pipeline.transforms.append(ClassAwareRandomCrop((240, 320), cat_max_ratio=0.75))
    loader = DataLoader(Crops(streets, 2000), batch_size=10, num_workers=4)
    seen = np.zeros(10, int)
    batches = iter(loader)
    workers = [worker.pid for worker in batches._workers]
    before = None
    for i, labels in enumerate(batches):
        assert labels.shape == (10, 240, 320)
        for label in labels.numpy():
            seen += np.bincount(label.ravel(), minlength=256)[:10] > 0
        if i == 50:
            before = [resident(pid) for pid in workers]
        if i == 180:  # the workers end with their last batch
            after = [resident(pid) for pid in workers]
    # 1300 crops in between: a single kept map a crop would be 25 MB in each worker.
    growth = [b - a for a, b in zip(before, after, strict=True)]
    assert max(growth) < 8 * MEGABYTE, growth
    assert seen.min() > 0


def test_thousands_of_crops_of_four_workers(tmp_path):
    make_toy_streets(tmp_path / 'streets', dict(train=20), seed=0, size=(480, 360), nproc=2)
    in_a_process(crop_with_workers, str(tmp_path / 'streets'))
