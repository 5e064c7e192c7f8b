import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch.utils.data import BatchSampler, DataLoader

from mmseg_imbalance.sampling.seen import count_seen


def batches(labels, size):
    samples = [
        SegDataSample(
            gt_sem_seg=PixelData(data=torch.tensor(label)[None]),
            metainfo=dict(seg_map_path='a.png'),
        )
        for label in labels
    ]
    return [dict(data_samples=samples[i : i + size]) for i in range(0, len(samples), size)]


def test_counts_of_samples():
    labels = np.random.default_rng(0).integers(0, 4, (7, 5, 6))
    labels[labels == 3] = 254
    counts = count_seen(batches(labels, 3), draws=5, num_classes=4, ignore_index=254)
    expected = [[np.count_nonzero(label == c) for c in range(4)] for label in labels[:5]]
    assert counts.tolist() == expected


@pytest.mark.parametrize('batched', (False, True))
def test_epochs_follow_one_another(batched):
    labels = np.arange(3)[:, None, None].repeat(2, 1)
    sampler = DefaultSampler(labels)
    given = dict(sampler=sampler)
    if batched:
        given = dict(batch_sampler=BatchSampler(sampler, 2, drop_last=False))
    loader = DataLoader(labels, **given, collate_fn=lambda drawn: batches(drawn, len(drawn))[0])
    counts = count_seen(loader, draws=9, num_classes=3, ignore_index=255).argmax(1).reshape(3, 3)
    assert (np.sort(counts) == [0, 1, 2]).all() and len(np.unique(counts, axis=0)) > 1


def test_bad_labels_and_no_samples_are_named():
    labels = np.zeros((2, 3, 3), int)
    with pytest.raises(ValueError, match='the data loader has no samples'):
        count_seen([], draws=3, num_classes=4, ignore_index=255)
    labels[0, 0, 0] = 9
    with pytest.raises(ValueError, match='a.png: label 9 is not a class'):
        count_seen(batches(labels, 2), draws=2, num_classes=4, ignore_index=255)
