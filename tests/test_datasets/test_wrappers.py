"""What looks at a data set looks through its wrappers."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from label_files import LOADER, build, config, write_labels
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmseg_imbalance.datasets import count_classes, find_label_maps
from mmseg_imbalance.datasets.wrappers import image_folder, plain_datasets, transforms_of
from mmseg_imbalance.hooks import PredictionWriterHook


@pytest.fixture
def root(tmp_path):
    write_labels(tmp_path, 4, folder='train')
    write_labels(tmp_path, 2, seed=1, folder='more')
    return tmp_path


def both(root):
    more = dict(type='RepeatDataset', times=2, dataset=config(root, 'more'))
    return build(dict(type='ConcatDataset', datasets=[config(root), more]))


def test_plain_data_sets(root):
    parts = plain_datasets(both(root))
    assert [part.data_prefix['img_path'].rpartition('/')[2] for part in parts] == ['train', 'more']
    assert image_folder(both(root)) == str(root / 'images')
    assert image_folder(build(config(root))) == f'{root}/images/train'


def test_transforms_inside_transforms(root):
    flip = dict(type='RandomFlip', prob=0.5)
    holes = dict(type='RandomCutOut', prob=0.5, n_holes=1, cutout_ratio=[(0.1, 0.1)])
    choice = dict(type='RandomChoice', transforms=[[flip], [holes]])
    mosaic = dict(
        type='MultiImageMixDataset', dataset=config(root, pipeline=[LOADER, choice]),
        pipeline=[dict(type='RandomMosaic', prob=1.0)],
    )  # fmt: skip
    names = [type(transform).__name__ for transform in transforms_of(build(mosaic))]
    inner = ['LoadAnnotations', 'RandomChoice', 'Compose', 'RandomFlip', 'Compose', 'RandomCutOut']
    assert names == [*inner, 'RandomMosaic']


def test_predictions_of_several_data_sets(root, tmp_path):
    dataset = both(root)
    runner = SimpleNamespace(test_dataloader=SimpleNamespace(dataset=dataset))
    for folder, value in (('train', 3), ('more', 5)):
        sample = SegDataSample(metainfo=dict(img_path=f'{root}/images/{folder}/frame 0.png'))
        sample.pred_sem_seg = PixelData(data=torch.full((1, 4, 4), value))
        PredictionWriterHook(str(tmp_path / 'out')).after_test_iter(runner, 0, outputs=[sample])
    for folder, value in (('train', 3), ('more', 5)):
        assert (cv2.imread(str(tmp_path / 'out' / folder / 'frame 0.png'), 0) == value).all()


@pytest.mark.elsewhere
def test_first_batches_of_mmengine(root):
    init_default_scope('mmseg')
    loader = Runner.build_dataloader(
        dict(
            dataset=config(root), batch_size=1, num_workers=0, num_batch_per_epoch=3,
            sampler=dict(type='ClassBalancedInfiniteSampler', min_pixels=1),
        )
    )  # fmt: skip
    labels = find_label_maps(loader.dataset)
    assert labels.rows.tolist() == [0, 1, 2] and len(labels.maps) == 4
    assert len(loader.sampler) == 3
    statistics = count_classes(loader.dataset, nproc=1)
    np.testing.assert_allclose(
        statistics.pixel_share, statistics.pixels[:3].sum(0) / statistics.pixels[:3].sum()
    )
