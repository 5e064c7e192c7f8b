"""Predictions are saved under the images' relative paths."""

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
