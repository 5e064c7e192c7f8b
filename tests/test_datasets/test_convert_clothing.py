"""Clothing Co-Parsing: classes, splits, and what is not that data set."""

import cv2
import numpy as np
import pytest
from clothing_files import LABELS, write_clothing
from mmseg.utils import register_all_modules
from scipy.io import savemat

from mmseg_imbalance.datasets import ClothingDataset
from mmseg_imbalance.datasets.convert_clothing import convert_clothing, split
from mmseg_imbalance.utils.errors import BadFileError, ToolError

TIE = LABELS.index('tie')


def test_classes_by_name_and_rare_labels_ignored(tmp_path):
    ids = np.arange(len(LABELS)).reshape(2, -1)
    write_clothing(tmp_path / 'raw', {1: ids, 4: ids * 0 + TIE})
    outcomes, lists = convert_clothing(tmp_path / 'raw', tmp_path / 'out', nproc=1)
    assert [(o.key, o.status) for o in outcomes] == [('0001', 'written'), ('0004', 'written')]
    label = cv2.imread(str(tmp_path / 'out/labels/0001.png'), cv2.IMREAD_UNCHANGED)
    assert label.ravel().tolist() == [*range(42), 255, 255]
    assert lists == dict(train=1, val=1, kept=1, held_out=0)
    copy, photo = (tmp_path / path for path in ('out/images/0001.jpg', 'raw/photos/0001.jpg'))
    assert copy.read_bytes() == photo.read_bytes()
    register_all_modules(init_default_scope=True)
    pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
    data = ClothingDataset(
        data_root=str(tmp_path / 'out'), ann_file='splits/val.txt', pipeline=pipeline,
        data_prefix=dict(img_path='images', seg_map_path='labels'),
    )  # fmt: skip
    assert len(data) == 1 and len(data.metainfo['palette']) == 42
    assert (data[0]['gt_seg_map'] == data.metainfo['classes'].index('tie')).all()


def test_a_photograph_keeps_its_part():
    keys = [f'{number:04d}' for number in range(1, 1005)]
    parts = split(keys)
    assert {name: len(part) for name, part in parts.items()} == dict(
        train=804, val=200, kept=704, held_out=100
    )
    assert sorted(parts['train'] + parts['val']) == keys
    assert sorted(parts['kept'] + parts['held_out']) == parts['train']
    assert split(keys[:500])['val'] == [key for key in parts['val'] if key <= '0500']
    assert parts['val'][:3] == ['0004', '0005', '0008']  # results depend on it


def test_every_bad_photograph_is_named(tmp_path):
    raw = tmp_path / 'raw'
    write_clothing(raw, {n: np.full((3, 4), n) for n in range(1, 6)})
    labels = raw / 'annotations/pixel-level'
    (labels / '0001.mat').write_bytes((labels / '0001.mat').read_bytes()[:150])
    savemat(labels / '0002.mat', dict(other=np.zeros(1)))
    savemat(labels / '0003.mat', dict(groundtruth=np.full((3, 4), 99, np.uint8)))
    savemat(labels / '0004.mat', dict(groundtruth=np.zeros((3, 4))))
    (raw / 'photos/0005.jpg').unlink()
    outcomes, lists = convert_clothing(raw, tmp_path / 'out', nproc=1)
    assert not lists and not (tmp_path / 'out/splits').exists()
    reasons = [o.reason for o in outcomes]
    assert all(o.status == 'failed' for o in outcomes)
    for reason, words in zip(
        reasons,
        ('not a complete MATLAB', 'no variable groundtruth', 'id 99', 'float64', 'image'),
        strict=True,
    ):
        assert words in reason
    assert not list((tmp_path / 'out').rglob('*.png'))


def test_another_folder(tmp_path):
    with pytest.raises(ToolError, match='pixel-level'):
        convert_clothing(tmp_path, tmp_path / 'out', nproc=1)
    write_clothing(tmp_path / 'raw', {1: np.zeros((3, 4))})
    savemat(tmp_path / 'raw/label_list.mat', dict(label_list=np.array([['null']], dtype=object)))
    with pytest.raises(BadFileError, match='lacks the labels accessories, bag, '):
        convert_clothing(tmp_path / 'raw', tmp_path / 'out', nproc=1)


def test_suffixes_in_capitals_are_refused(tmp_path):
    write_clothing(tmp_path, {n: np.zeros((3, 4)) for n in (1, 2)})
    labels = tmp_path / 'annotations/pixel-level'
    (labels / '0002.mat').rename(labels / '0002.MAT')
    with pytest.raises(ToolError, match='.*0002.MAT: the suffix has to be .*1 such'):
        convert_clothing(tmp_path, tmp_path / 'out', nproc=1)
