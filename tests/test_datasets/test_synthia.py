"""The SYNTHIA data sets' choices of classes, on converted labels."""

import cv2
import numpy as np
import pytest
from mmseg.registry import DATASETS

from mmseg_imbalance.datasets.synthia import SynthiaRandDataset, SynthiaSeqDataset

PIPELINE = [dict(type='LoadImageFromFile'), dict(type='mmseg.LoadAnnotations')]
CITYSCAPES = (
    'road sidewalk building wall fence pole light sign vegetation terrain sky person rider car '
    'truck bus train motorcycle bicycle'
).split()


def build(root, kind, label, key='0000000', **options):
    for folder, pixels in (('images', np.zeros((*label.shape, 3), np.uint8)), ('labels', label)):
        path = root / folder / f'{key}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), pixels)
    (root / 'list.txt').write_text(f'{key}\n')
    return DATASETS.build(
        dict(
            type=kind,
            data_root=str(root),
            ann_file='list.txt',
            data_prefix=dict(img_path='images', seg_map_path='labels'),
            pipeline=PIPELINE,
            **options,
        )
    )


TRAIN_IDS = np.array([[*range(19), 255]], np.uint8)


@pytest.mark.elsewhere
@pytest.mark.parametrize(
    'num_classes, left_out',
    [
        (19, []),
        (16, ['terrain', 'truck', 'train']),
        (13, ['terrain', 'truck', 'train', 'wall', 'fence', 'pole']),
    ],
)
def test_rand_numbers_the_chosen_classes_in_order(tmp_path, num_classes, left_out):
    dataset = build(tmp_path, 'SynthiaRandDataset', TRAIN_IDS, num_classes=num_classes)
    chosen = [name for name in CITYSCAPES if name not in left_out]
    expected = [chosen.index(name) if name in chosen else 255 for name in CITYSCAPES] + [255]
    assert dataset[0]['gt_seg_map'].ravel().tolist() == expected
    assert len(dataset.metainfo['classes']) == len(dataset.metainfo['palette']) == num_classes
    full = SynthiaRandDataset.METAINFO
    colours = dict(zip(full['classes'], full['palette'], strict=True))
    assert dataset.metainfo['palette'] == [colours[c] for c in dataset.metainfo['classes']]


def test_rand_scores_16_classes_unless_told_otherwise(tmp_path):
    assert len(build(tmp_path, 'SynthiaRandDataset', TRAIN_IDS).metainfo['classes']) == 16


def test_rand_takes_classes_from_metainfo(tmp_path):
    meta = dict(classes=('car', 'road'))
    dataset = build(tmp_path, 'SynthiaRandDataset', TRAIN_IDS, metainfo=meta)
    label = dataset[0]['gt_seg_map'].ravel()
    assert label[13] == 0 and label[0] == 1 and (np.delete(label, [0, 13]) == 255).all()


@pytest.mark.parametrize('wrong', [0, 14, '16', None])
def test_rand_refuses_other_numbers(wrong):
    with pytest.raises(ValueError, match='13, 16 or 19'):
        SynthiaRandDataset(num_classes=wrong, lazy_init=True)


INDICES = np.arange(14, dtype=np.uint8)[None]


@pytest.mark.elsewhere
def test_seqs_ignores_void(tmp_path):
    key = 'SYNTHIA-SEQS-05-SUMMER/Stereo_Left/Omni_B/000000'
    dataset = build(tmp_path, 'SynthiaSeqDataset', INDICES, key)
    assert dataset[0]['gt_seg_map'].ravel().tolist() == [*range(13), 255]
    assert len(dataset.metainfo['classes']) == len(dataset.metainfo['palette']) == 13
    assert 'void' not in dataset.metainfo['classes']


def test_seqs_scores_void_as_the_last_class(tmp_path):
    dataset = build(tmp_path, 'SynthiaSeqDataset', INDICES, score_void=True)
    assert dataset[0]['gt_seg_map'].ravel().tolist() == [*range(14)]
    assert dataset.metainfo['classes'][13] == 'void'
    assert dataset.metainfo['palette'][13] == [0, 0, 0]


def test_seqs_classes_in_the_order_of_the_raw_ids():
    meta = SynthiaSeqDataset.METAINFO
    colours = dict(zip(meta['classes'], meta['palette'], strict=True))
    assert meta['classes'][0] == 'sky' and meta['classes'][11:13] == (
        'lane marking',
        'traffic light',
    )
    assert colours['lane marking'] == [0, 172, 0] and colours['bicycle'] == [0, 128, 192]
