"""Predictions are saved under the images' relative paths."""

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmseg_imbalance.hooks.prediction_writer_hook import PredictionWriterHook


def sample(path, index, **meta):
    data = PixelData(data=torch.full((1, 4, 6), index))
    return SegDataSample(pred_sem_seg=data, metainfo=dict(img_path=str(path), **meta))


@pytest.fixture
def runner(tmp_path):
    dataset = SimpleNamespace(data_prefix=dict(img_path=str(tmp_path / 'images')))
    return SimpleNamespace(test_dataloader=SimpleNamespace(dataset=dataset))


@pytest.mark.elsewhere
def test_equal_base_names_do_not_overwrite_one_another(runner, tmp_path):
    views = ('Omni_F', 'Omni_B')
    outputs = [sample(tmp_path / 'images' / view / '000000.jpg', i) for i, view in enumerate(views)]
    PredictionWriterHook(str(tmp_path / 'out')).after_test_iter(runner, 0, outputs=outputs)
    for i, view in enumerate(views):
        saved = cv2.imread(str(tmp_path / 'out' / view / '000000.png'), cv2.IMREAD_UNCHANGED)
        assert saved.dtype == np.uint8 and saved.shape == (4, 6)
        assert (saved == i).all()
    assert len([p for p in (tmp_path / 'out').rglob('*') if p.is_file()]) == 2


@pytest.mark.elsewhere
def test_reduced_zero_label_is_undone(runner, tmp_path):
    outputs = [sample(tmp_path / 'images/a.png', 3, reduce_zero_label=True)]
    PredictionWriterHook(str(tmp_path)).after_test_iter(runner, 0, outputs=outputs)
    assert (cv2.imread(str(tmp_path / 'a.png'), cv2.IMREAD_UNCHANGED) == 4).all()


@pytest.mark.elsewhere
def test_samples_that_do_not_say_so_are_of_a_data_set_that_does(runner, tmp_path):
    """PackSegInputs with meta_keys of one's own leaves reduce_zero_label out."""
    runner.test_dataloader.dataset.reduce_zero_label = True
    outputs = [sample(tmp_path / 'images/a.png', 3)]
    PredictionWriterHook(str(tmp_path)).after_test_iter(runner, 0, outputs=outputs)
    assert (cv2.imread(str(tmp_path / 'a.png'), cv2.IMREAD_UNCHANGED) == 4).all()


@pytest.mark.parametrize('index', (255, 256, 300))
def test_indices_of_many_classes(runner, tmp_path, index):
    outputs = [sample(tmp_path / 'images/a.png', index)]
    PredictionWriterHook(str(tmp_path)).after_test_iter(runner, 0, outputs=outputs)
    assert (cv2.imread(str(tmp_path / 'a.png'), cv2.IMREAD_UNCHANGED) == index).all()


def test_no_image_is_overwritten(tmp_path, monkeypatch):
    """A list of files may name images that are not below the folder of images."""
    monkeypatch.chdir(tmp_path)
    Path('raw').mkdir()
    cv2.imwrite('raw/a.png', np.full((4, 6), 200, np.uint8))
    dataset = SimpleNamespace(data_prefix=dict(img_path='data/images'))
    runner = SimpleNamespace(test_dataloader=SimpleNamespace(dataset=dataset))
    for path in ('raw/a.png', tmp_path / 'raw/a.png', 'data/../raw/a.png'):
        PredictionWriterHook('out/run').after_test_iter(runner, 0, outputs=[sample(path, 3)])
    assert (cv2.imread('raw/a.png', cv2.IMREAD_UNCHANGED) == 200).all()
    (saved,) = Path('out/run').rglob('*.png')
    assert saved == Path('out/run', *(tmp_path / 'raw/a.png').parts[1:])
