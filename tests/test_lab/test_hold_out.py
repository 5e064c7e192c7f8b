"""Images held out of a training set."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmengine.config import Config

from lab.study.hold_out import hold_out, hold_out_options
from lab.study.plan import PlanError
from mmseg_imbalance.utils.shipped import config_path

NAMES = st.lists(
    st.from_regex('[ab][0-9]{3}', fullmatch=True), unique=True, min_size=10, max_size=60
)


@given(NAMES, st.floats(0.1, 0.9))
def test_the_last_of_every_group_are_held_out(names, share):
    groups = {letter: sorted(n for n in names if n[0] == letter) for letter in 'ab'}
    expected = {letter: int(share * len(members)) for letter, members in groups.items()}
    if not any(expected.values()):
        with pytest.raises(ValueError, match='images are held out'):
            hold_out(names, share, '[ab]')
        return
    kept, held = hold_out(names, share, '[ab]')
    assert sorted(kept + held) == sorted(names)
    for letter, members in groups.items():
        count = expected[letter]
        assert [n for n in held if n[0] == letter] == members[len(members) - count :]


def test_without_groups_the_last_of_all():
    assert hold_out(['c', 'a', 'd', 'b'], 0.25) == (['a', 'b', 'c'], ['d'])


def test_a_name_outside_all_groups_is_one_of_the_rest():
    kept, held = hold_out(['x1', 'x2', 'a1', 'a2'], 0.5, 'a')
    assert (kept, held) == (['a1', 'x1'], ['a2', 'x2'])


@pytest.mark.parametrize('share', [0.01, 1.0])
def test_nothing_left_is_an_error(share):
    with pytest.raises(ValueError, match=r'[02] of 2 images are held out'):
        hold_out(['a', 'b'], share)


def test_what_matches_or_is_listed_is_held_out():
    names = ['A_2', 'B_1', 'A_1', 'BA_1']
    assert hold_out(names, match='A_') == (['BA_1', 'B_1'], ['A_1', 'A_2'])
    assert hold_out(names, listed={'B_1', 'A_2'}) == (['A_1', 'BA_1'], ['A_2', 'B_1'])
    with pytest.raises(ValueError, match='1 listed images are not there, such as C'):
        hold_out(names, listed=['B_1', 'C'])
    for way in ({'match': 'C'}, {'match': ''}, {'listed': []}):
        with pytest.raises(ValueError, match='[04] of 4 images are held out'):
            hold_out(names, **way)


def camvid(folder, frames):
    for kind in ('images', 'labels'):
        path = folder / kind / 'train'
        path.mkdir(parents=True)
        for frame in frames:
            cv2.imwrite(str(path / f'{frame}.png'), np.zeros((4, 4), np.uint8))
    name = 'cross_entropy/ce_deeplabv3-r18-d16_1xb4-2k_camvid-240x320.py'
    cfg = Config.fromfile(config_path(name))
    cfg.merge_from_dict(
        {f'{loader}_dataloader.dataset.data_root': str(folder) for loader in ('train', 'val')}
    )
    return cfg


@pytest.mark.parametrize('way', [{'share': 0.2, 'group': '[^_]+'}, {'listed': 'held_out.txt'}])
def test_a_config_is_validated_on_a_part_of_its_training_set(tmp_path, way):
    from mmseg.registry import DATASETS

    cfg = camvid(tmp_path / 'data', [f'{v}_{i:02}' for v in ('A', 'B') for i in range(5)])
    (tmp_path / 'data/held_out.txt').write_text('A_04\nB_04\n')
    cfg.merge_from_dict(hold_out_options(cfg, tmp_path / 'lists', way))
    found = {}
    for stage in ('train', 'val'):
        dataset = DATASETS.build(cfg[f'{stage}_dataloader'].dataset)
        infos = [dataset.get_data_info(i) for i in range(len(dataset))]
        found[stage] = [info['img_path'].rpartition('/')[2] for info in infos]
        assert all('labels/train/' in info['seg_map_path'] for info in infos)
    assert found['val'] == ['A_04.png', 'B_04.png']
    assert found['train'] == [f'{v}_{i:02}.png' for v in ('A', 'B') for i in range(4)]


def test_in_a_mixed_data_set_the_inner_one_is_split(tmp_path):
    cfg = camvid(tmp_path / 'data', [f'A_{i}' for i in range(5)])
    inner = cfg.train_dataloader.dataset
    cfg.train_dataloader.dataset = dict(
        type='MultiImageMixDataset',
        dataset=dict(inner, pipeline=inner.pipeline[:2]),
        pipeline=[dict(type='RareClassCopyPaste'), *inner.pipeline[2:]],
    )
    options = hold_out_options(cfg, tmp_path / 'lists', {'share': 0.2, 'group': 'A'})
    assert options == {
        'train_dataloader.dataset.dataset.ann_file': str(tmp_path / 'lists/train.txt'),
        'val_dataloader.dataset.ann_file': str(tmp_path / 'lists/val.txt'),
        'val_dataloader.dataset.data_prefix.img_path': 'images/train',
        'val_dataloader.dataset.data_prefix.seg_map_path': 'labels/train',
    }


def test_too_few_images_are_named(tmp_path):
    cfg = camvid(tmp_path / 'data', ['A_1', 'B_1'])
    with pytest.raises(PlanError, match='images/train: 0 of 2 images are held out'):
        hold_out_options(cfg, tmp_path, {'share': 0.2, 'group': '[^_]+'})
