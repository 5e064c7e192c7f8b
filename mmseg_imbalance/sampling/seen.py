"""Counts how often training sees each class, after sampling, augmentation and cropping."""

import itertools
from collections.abc import Iterable

import numpy as np
from rich.console import Console
from rich.progress import track

from ..utils.training_loop import samplers_of


def count_seen(dataloader: Iterable, draws: int, num_classes: int, ignore_index: int) -> np.ndarray:
    """Counts the pixels of each class in the samples of a training data loader.

    Args:
        dataloader: Training data loader, with batches as from MMSegmentation's ``PackSegInputs``.
            Where it ends, its next epoch begins.
        draws: Number of samples to count.
        num_classes: Number of classes C.
        ignore_index: Label of pixels that belong to no class.

    Returns:
        int64 (draws, C).

    Raises:
        ValueError: If a label is neither a class nor ignored, or if there are no samples.
    """
    samples = itertools.islice(_samples(dataloader), draws)
    counts = []
    for sample in track(samples, 'drawing', total=draws, console=Console(stderr=True)):
        label = sample.gt_sem_seg.data.numpy().ravel()
        pixels = np.bincount(label[label != ignore_index], minlength=num_classes)
        if len(pixels) > num_classes:
            raise ValueError(f'{sample.seg_map_path}: label {len(pixels) - 1} is not a class')
        counts.append(pixels)
    if len(counts) < draws:
        raise ValueError('the data loader has no samples')
    return np.array(counts)


def _samples(dataloader: Iterable):
    for epoch in itertools.count():
        for sampler in samplers_of(dataloader):
            if hasattr(sampler, 'set_epoch'):
                sampler.set_epoch(epoch)
        empty = True
        for batch in dataloader:
            empty = False
            yield from batch['data_samples']
        if empty:
            return
