"""CamVidDataset on small files of every kind, and on the real data where it is at hand."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.evaluation import IoUMetric
from mmseg.registry import DATASETS
from mmseg.structures import SegDataSample

from mmseg_imbalance.datasets.camvid import CamVidDataset

ROOT = Path(__file__).resolve().parents[2]
REAL = Path(os.environ.get('CAMVID_ROOT', ROOT / 'data' / 'camvid'))
PIPELINE = [dict(type='LoadImageFromFile'), dict(type='mmseg.LoadAnnotations')]
RAW = np.arange(12, dtype=np.uint8).reshape(3, 4)


def write(root, frame, label, suffix='.png'):
    for folder, name, pixels in (
        ('images', f'{frame}{suffix}', np.full((*label.shape, 3), 90, np.uint8)),
        ('labels', f'{frame}.png', label),
    ):
        path = root / folder / 'train' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), pixels)


def build(root, split='train', **options):
    return DATASETS.build(
        dict(
            type='CamVidDataset',
            data_root=str(root),
            data_prefix=dict(img_path=f'images/{split}', seg_map_path=f'labels/{split}'),
            pipeline=PIPELINE,
            **options,
        )
    )


def names(dataset):
    return [Path(dataset.get_data_info(i)['img_path']).name for i in range(len(dataset))]


def test_raw_and_converted_labels_read_alike(tmp_path):
    write(tmp_path, 'a_raw', RAW)
    write(tmp_path, 'b_converted', np.where(RAW == 11, 255, RAW).astype(np.uint8))
    raw, converted = (item['gt_seg_map'] for item in build(tmp_path))
    assert raw.ravel().tolist() == [*range(11), 255]
    assert np.array_equal(raw, converted)


def test_a_subset_of_the_classes(tmp_path):
    write(tmp_path, 'raw', RAW)
    write(tmp_path, 'converted', np.where(RAW == 11, 255, RAW).astype(np.uint8))
    dataset = build(tmp_path, metainfo=dict(classes=('Car', 'Road')))
    for item in dataset:
        expected = [255] * 12
        expected[8], expected[3] = 0, 1
        assert item['gt_seg_map'].ravel().tolist() == expected
    assert dataset.metainfo['palette'] == [[64, 0, 128], [128, 64, 128]]


def test_png_and_jpg_images_side_by_side(tmp_path):
    write(tmp_path, 'b', RAW, '.jpg')
    write(tmp_path, 'a', RAW, '.png')
    dataset = build(tmp_path)
    assert names(dataset) == ['a.png', 'b.jpg']
    assert [item['img'].shape for item in dataset] == [(3, 4, 3)] * 2


def test_ann_file_lists_the_frames_and_their_order(tmp_path):
    for frame, suffix in (('a', '.png'), ('b', '.jpg'), ('c', '.png')):
        write(tmp_path, frame, RAW, suffix)
    (tmp_path / 'some.txt').write_text('c\nb\n')
    assert names(build(tmp_path, ann_file='some.txt')) == ['c.png', 'b.jpg']


def test_an_explicit_suffix_is_the_only_one(tmp_path):
    write(tmp_path, 'a', RAW, '.png')
    write(tmp_path, 'b', RAW, '.jpg')
    write(tmp_path, 'a', RAW, '.jpg')
    assert names(build(tmp_path, img_suffix='.jpg')) == ['a.jpg', 'b.jpg']


def test_a_listed_frame_without_image_is_named(tmp_path):
    write(tmp_path, 'a', RAW)
    (tmp_path / 'some.txt').write_text('a\nmissing_frame\n')
    with pytest.raises(FileNotFoundError, match='missing_frame'):
        build(tmp_path, ann_file='some.txt')


def test_two_images_of_one_frame_are_refused(tmp_path):
    write(tmp_path, 'a', RAW, '.png')
    write(tmp_path, 'a', RAW, '.jpg')
    with pytest.raises(ValueError, match='a.jpg'):
        build(tmp_path)


def test_suffixes_in_capitals_are_suffixes(tmp_path):
    write(tmp_path, 'a', RAW, '.PNG')
    write(tmp_path, 'b', RAW)
    write(tmp_path, 'c', RAW, '.JPG')
    assert names(build(tmp_path)) == ['a.PNG', 'b.png', 'c.JPG']
    write(tmp_path, 'a', RAW)
    with pytest.raises(ValueError, match='has both .*a.PNG'):
        build(tmp_path)


def test_classes_and_colours():
    meta = CamVidDataset.METAINFO
    assert len(meta['classes']) == len(meta['palette']) == 11


def evaluate(dataset, predict):
    """Scores ``predict(label as stored, label as loaded)`` with mmseg's own metric."""
    metric = IoUMetric(iou_metrics=['mIoU'])
    metric.dataset_meta = dataset.metainfo
    for item in dataset:
        stored = cv2.imread(item['seg_map_path'], cv2.IMREAD_UNCHANGED)
        sample = SegDataSample()
        for field, label in (
            ('gt_sem_seg', item['gt_seg_map']),
            ('pred_sem_seg', predict(stored, item['gt_seg_map'])),
        ):
            setattr(sample, field, PixelData(data=torch.from_numpy(label.astype(np.int64))[None]))
        metric.process({}, [sample.to_dict()])
    return metric.compute_metrics(metric.results)


@pytest.mark.elsewhere
def test_mmsegs_metric_maps_labels_once_and_ignores_the_unlabelled(tmp_path):
    """Classes in another order: a second mapping of the labels would spoil a perfect score."""
    write(tmp_path, 'raw', np.repeat(RAW, 2, axis=0))
    classes = CamVidDataset.METAINFO['classes'][::-1]
    dataset = build(tmp_path, metainfo=dict(classes=classes))
    perfect = evaluate(dataset, lambda stored, _: np.where(stored == 11, 0, 10 - stored))
    assert perfect['mIoU'] == perfect['aAcc'] == 100
    # all is called Bicyclist: right on one pixel in eleven, IoU 1/11 for it and 0 for the others
    constant = evaluate(dataset, lambda stored, _: np.zeros_like(stored))
    assert constant['aAcc'] == constant['mAcc'] == pytest.approx(100 / 11, abs=0.01)
    assert constant['mIoU'] == pytest.approx(100 / 121, abs=0.01)


@pytest.mark.skipif(not REAL.is_dir(), reason=f'CamVid is not at {REAL}; set CAMVID_ROOT')
def test_real_camvid():
    train, val = build(REAL, 'train'), build(REAL, 'val', indices=8)
    assert len(train) == 367 and len(build(REAL, 'val')) == 101
    item = train[0]
    assert item['img'].shape == (360, 480, 3) and item['gt_seg_map'].shape == (360, 480)
    # SegNet's published training shares: road 31.7 %, bicyclist 0.29 %, unlabelled 3.9 %
    labels = [cv2.imread(info['seg_map_path'], cv2.IMREAD_UNCHANGED) for info in map(
        train.get_data_info, range(len(train)))]  # fmt: skip
    share = 100 * np.bincount(np.ravel(labels), minlength=256) / np.size(labels)
    found = [share[3], share[10], share[11] + share[255]]  # as downloaded or converted
    assert found == pytest.approx([31.7, 0.29, 3.9], abs=0.06)
    perfect = evaluate(val, lambda stored, _: np.where(stored > 10, 0, stored))
    assert perfect['mIoU'] == perfect['aAcc'] == 100
