"""ToyStreetsDataset reads what the generator writes."""

import numpy as np
import pytest
from mmseg.registry import DATASETS

from lab.streets.make_toy_streets import make_toy_streets
from lab.streets.street_scene import draw_street
from mmseg_imbalance.datasets.toy_streets import ToyStreetsDataset

SIZE = (64, 32)


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp('toy')
    make_toy_streets(root, dict(train=3, val=2), seed=0, size=SIZE, nproc=1)
    return root


@pytest.mark.elsewhere
@pytest.mark.parametrize('split, count', [('train', 3), ('val', 2)])
def test_reads_images_with_their_labels(root, split, count):
    dataset = DATASETS.build(
        dict(
            type='ToyStreetsDataset',
            data_root=str(root),
            data_prefix=dict(img_path=f'leftImg8bit/{split}', seg_map_path=f'gtFine/{split}'),
            pipeline=[dict(type='LoadImageFromFile'), dict(type='mmseg.LoadAnnotations')],
        )
    )
    assert len(dataset) == count
    for i in range(count):
        image, label = draw_street(0, split, i, SIZE)
        assert np.array_equal(dataset[i]['img'][..., ::-1], image)
        assert np.array_equal(dataset[i]['gt_seg_map'], label)


def test_metainfo_has_a_colour_for_each_class():
    meta = ToyStreetsDataset.METAINFO
    assert len(meta['classes']) == len(meta['palette']) == 10
    assert len({tuple(colour) for colour in meta['palette']}) == 10
