import copy
import pickle

import numpy as np
import pytest
from mmengine.dataset import ConcatDataset, RepeatDataset
from tiny_data import tiny_dataset, write_label_maps

from mmseg_imbalance.sampling.drawn_index import DrawnIndex


@pytest.mark.parametrize(
    'again', (copy.copy, copy.deepcopy, lambda i: pickle.loads(pickle.dumps(i)))
)
def test_copies_keep_the_class(again):
    index = again(DrawnIndex(7, 3))
    assert index == 7 and index.drawn_class == 3 and isinstance(index, int)


def test_is_an_index():
    assert [10, 11, 12][DrawnIndex(1, 5)] == 11
    assert np.arange(4)[DrawnIndex(2, 5)] == 2


@pytest.mark.elsewhere
@pytest.mark.parametrize('serialize', (True, False))
def test_class_arrives_through_wrappers(tmp_path, serialize):
    write_label_maps(tmp_path, [[1]] * 3)
    part = tiny_dataset(tmp_path, serialize_data=serialize)
    both = dict(type=ConcatDataset, datasets=[part, part])
    wrapped = RepeatDataset(both, 2)
    for index in range(len(wrapped)):
        results = wrapped[DrawnIndex(index, 2)]
        assert results['img_path'].endswith(f'{index % 3:05}.png')
        assert results['sample_idx'].drawn_class == 2
        assert not hasattr(wrapped[index]['sample_idx'], 'drawn_class')
