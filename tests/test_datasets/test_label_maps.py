"""Keys, rows and fingerprints of data sets, however they are wrapped, and reading their labels."""

import numpy as np
import pytest
import torch
from label_files import CLASSES, LOADER, build, config, write_labels
from mmengine.dataset import BaseDataset
from mmseg.registry import DATASETS, TRANSFORMS

from mmseg_imbalance.datasets.label_maps import LabelMap, LabelMaps, find_label_maps
from mmseg_imbalance.datasets.store import default_path
from mmseg_imbalance.utils import logs


@pytest.fixture
def root(tmp_path):
    root = tmp_path / 'daten ä'
    write_labels(root, 4, folder='train')
    write_labels(root, 2, seed=1, folder='more')
    return root


def keys_by_index(labels):
    return [list(labels.maps)[row] for row in labels.rows]


def wrap(kind, *parts, **settings):
    if kind == 'ConcatDataset':
        return dict(type=kind, datasets=list(parts), **settings)
    return dict(type=kind, dataset=parts[0], **settings)


TRAIN = [f'labels/train/frame {i}.png' for i in range(4)]
MORE = [f'labels/more/frame {i}.png' for i in range(2)]


def test_plain(root):
    labels = find_label_maps(build(config(root)))
    assert labels.classes == CLASSES and labels.root == root.as_posix()
    assert list(labels.maps) == keys_by_index(labels) == TRAIN
    assert labels.rows.dtype == np.int64


def test_wrapped(root):
    train, more = config(root), config(root, 'more')
    both = wrap('ConcatDataset', train, wrap('RepeatDataset', more, times=2))
    for cfg, expected in (
        (wrap('RepeatDataset', train, times=3), TRAIN * 3),
        (wrap('ConcatDataset', train, more), TRAIN + MORE),
        (wrap('ConcatDataset', train, train), TRAIN + TRAIN),
        (both, TRAIN + MORE * 2),
        (wrap('RepeatDataset', wrap('ConcatDataset', more, train), times=2), (MORE + TRAIN) * 2),
        (wrap('MultiImageMixDataset', train, pipeline=[]), TRAIN),
        (wrap('MultiImageMixDataset', both, pipeline=[]), TRAIN + MORE * 2),
    ):
        dataset = build(cfg)
        labels = find_label_maps(dataset)
        assert keys_by_index(labels) == expected and len(dataset) == len(expected)
        assert list(labels.maps) == sorted(set(expected))


def test_part_of_a_data_set(root):
    assert keys_by_index(find_label_maps(build(config(root, indices=[2, 0])))) == TRAIN[2::-2]


@pytest.mark.elsewhere
def test_reads_what_training_reads(root):
    subset = dict(classes=('Road', 'Sky'))
    dataset = build(config(root, metainfo=subset, serialize_data=True))
    for index, label in enumerate(find_label_maps(dataset).maps.values()):
        for _ in range(2):
            np.testing.assert_array_equal(label.read(), dataset[index]['gt_seg_map'])


def test_reading_leaves_the_data_set_alone(root):
    dataset = build(config(root))
    loader = dataset.pipeline.transforms[0]
    before = dict(vars(loader))
    label = next(iter(find_label_maps(dataset).maps.values()))
    info = dict(label.info)
    label.read()
    assert vars(loader) == before and label.info == info


# ---- where the data lie


def test_several_roots_share_a_folder(root, tmp_path):
    write_labels(tmp_path / 'other/deep', 1)
    labels = find_label_maps(
        build(wrap('ConcatDataset', config(root), config(tmp_path / 'other/deep')))
    )
    assert labels.root == tmp_path.as_posix()
    assert keys_by_index(labels)[3:] == [f'{root.name}/{TRAIN[3]}', f'other/deep/{TRAIN[0]}']


def test_no_root_is_the_folder_of_the_labels(root):
    cfg = config(root)
    cfg['data_prefix'] = {key: f'{root}/{path}' for key, path in cfg['data_prefix'].items()}
    for data_root in (None, '', str(root.parent / 'elsewhere')):
        labels = find_label_maps(build({**cfg, 'data_root': data_root}))
        assert labels.root == f'{root.as_posix()}/labels/train'
        assert keys_by_index(labels) == [f'frame {i}.png' for i in range(4)]


def test_relative_roots_and_slashes(root, monkeypatch):
    expected = find_label_maps(build(config(root)))
    monkeypatch.chdir(root.parent)
    for data_root in (root.name, f'{root.name}/', f'./{root.name}//', f'{root}/labels/..'):
        labels = find_label_maps(build(config(data_root)))
        assert list(labels.maps) == TRAIN and labels.root == root.as_posix()
        assert labels.fingerprint == expected.fingerprint
    assert default_path(expected).parent == root / 'class_statistics'


def test_addresses_keep_their_slashes(root, monkeypatch):
    dataset = build(config(root))
    infos = [
        dict(seg_map_path=f's3://bucket/data/labels/{i}.png', label_map=None, reduce_zero_label=0)
        for i in range(4)
    ]
    monkeypatch.setattr(dataset, 'get_data_info', infos.__getitem__)
    for data_root, prefix in (('s3://bucket/data/', 'labels/'), (None, '')):
        dataset.data_root = data_root
        labels = find_label_maps(dataset)
        assert labels.root == ('s3://bucket/data' if data_root else 's3://bucket/data/labels')
        assert list(labels.maps) == [f'{prefix}{i}.png' for i in range(4)]
        assert labels.file_sizes is None
        with pytest.raises(ValueError, match='below s3://bucket/data.* argument statistics .--out'):
            default_path(labels)


def test_sizes_of_files_that_only_a_backend_knows(root):
    assert (find_label_maps(build(config(root))).file_sizes > 0).all()
    labels = find_label_maps(build(config(root)))
    (root / TRAIN[0]).unlink()
    assert (labels.file_sizes < 0).tolist() == [True, False, False, False]
    for name in TRAIN[1:]:
        (root / name).unlink()
    assert labels.file_sizes is None


# ---- the fingerprint


def fingerprint(cfg):
    return find_label_maps(build(cfg)).fingerprint


def test_the_fingerprint_ignores_order_repetition_place_and_augmentation(root, tmp_path):
    train, more = config(root), config(root, 'more')
    expected = fingerprint(wrap('ConcatDataset', train, more))
    assert len(expected) == 64
    assert fingerprint(wrap('ConcatDataset', more, train, train)) == expected
    assert fingerprint(wrap('RepeatDataset', wrap('ConcatDataset', train, more), times=9)) == (
        expected
    )
    write_labels(tmp_path / 'moved', 4, seed=7)
    flipped = [LOADER, dict(type='RandomFlip', prob=0.5)]
    assert fingerprint(config(tmp_path / 'moved', pipeline=flipped)) == fingerprint(train)


def test_the_fingerprint_tells_files_classes_and_reading_apart(root):
    subset = dict(metainfo=dict(classes=('Road', 'Sky')))
    reorder = dict(metainfo=dict(classes=('Sky', 'Road')))
    rename = build(config(root))
    rename._metainfo['classes'] = ('sky', *CLASSES[1:])
    found = [
        *(fingerprint(config(root, folder)) for folder in ('train', 'more')),
        *(fingerprint(config(root, **s)) for s in (subset, reorder)),
        fingerprint(config(root, indices=3)),
        fingerprint(config(root, ignore_index=254)),
        fingerprint(config(root, reduce_zero_label=True)),
        find_label_maps(rename).fingerprint,
    ]
    assert len(set(found)) == len(found)


def test_the_fingerprint_stays():
    """A change here makes the statistics on every disk stale: raise FINGERPRINT_VERSION for it."""
    info = dict(seg_map_path='', label_map={11: 255, 2: 0}, reduce_zero_label=False)
    label = LabelMap('/data/ä.png', info, 255, (), ())
    labels = LabelMaps(('a', 'b'), '/data', {'ä.png': label}, np.zeros(1, np.int64))
    assert labels.fingerprint == (
        'd65d74063d7cfe06c42f3aa137954775e45a6e57ff1f6698d65cb8f6f0d3ed04'
    )


# ---- what cannot be listed


def test_the_same_file_read_differently(root):
    for settings in (dict(ignore_index=7), dict(metainfo=dict(classes=('Road',)))):
        dataset = build(wrap('ConcatDataset', config(root), config(root)))
        dataset.datasets[1] = build(config(root, **settings))
        with pytest.raises(ValueError, match='frame 0.png is in the data set more than once'):
            find_label_maps(dataset)


def test_the_same_file_read_alike_after_some_use(root):
    dataset = build(wrap('ConcatDataset', config(root), config(root)))
    assert dataset[0] is not None  # notes reduce_zero_label in the first one's loader
    assert len(find_label_maps(dataset).maps) == 4


def test_the_same_file_loaded_differently(root):
    other = dict(LOADER, imdecode_backend='cv2')
    dataset = build(wrap('ConcatDataset', config(root), config(root, pipeline=[other])))
    with pytest.raises(ValueError, match='more than once, .* annotation loading; give'):
        find_label_maps(dataset)


def test_no_annotation_loading(root):
    transforms = [dict(type='LoadImageFromFile'), dict(type='RandomFlip', prob=0.5)]
    for pipeline, message in ((transforms, 'LoadImageFromFile, RandomFlip'), ([], 'no transforms')):
        with pytest.raises(ValueError, match=f'loads no annotations; it has {message}, and needs'):
            find_label_maps(build(config(root, pipeline=pipeline)))


@TRANSFORMS.register_module()
class NoAnnotations:
    def __call__(self, results):
        return results


def test_loading_without_a_label_map(root):
    dataset = build(config(root, pipeline=[dict(type='NoAnnotations')]))
    with pytest.raises(ValueError, match='NoAnnotations load no gt_seg_map'):
        next(iter(find_label_maps(dataset).maps.values())).read()


def test_no_label_maps(root):
    cfg = config(root)
    del cfg['data_prefix']['seg_map_path']
    with pytest.raises(ValueError, match='no label maps; set seg_map_path'):
        find_label_maps(build(cfg))


def test_empty(root):
    (root / 'images/empty').mkdir()
    with pytest.raises(ValueError, match='CamVidDataset is empty: .*images/empty'):
        find_label_maps(build(config(root, 'empty')))


@DATASETS.register_module()
class OtherDataset(BaseDataset):
    def load_data_list(self):
        return [{}]


def test_other_types(root):
    with pytest.raises(
        TypeError, match='cannot list the label maps of OtherDataset; supported are'
    ):
        find_label_maps(build(wrap('RepeatDataset', dict(type='OtherDataset'), times=2)))
    with pytest.raises(TypeError, match='cannot list the label maps of list'):
        find_label_maps([1, 2])


@TRANSFORMS.register_module(force=True)
class SwapIds:
    def __call__(self, results):
        results['gt_seg_map'] = np.array([0, 2, 1, *range(3, 256)], np.uint8)[results['gt_seg_map']]
        return results


def test_a_transform_that_may_change_ids_is_named_once(root, monkeypatch):
    said = []
    monkeypatch.setattr(logs, 'warn', said.append)
    flip = dict(type='RandomFlip', prob=0.5)
    find_label_maps(build(config(root, pipeline=[LOADER, flip])))
    for _ in range(2):
        find_label_maps(build(config(root, pipeline=[LOADER, dict(type='SwapIds'), flip])))
    assert len(said) == 1 and said[0].startswith('SwapIds comes after the label maps are loaded')
    twice = [LOADER, dict(type='LoadMappedAnnotations', mapping={1: 0})]  # only one is followed
    find_label_maps(build(config(root, pipeline=twice)))
    assert len(said) == 2 and said[1].startswith('LoadMappedAnnotations is not the first')


@TRANSFORMS.register_module(force=True)
class LoadMappedAnnotations:
    def __init__(self, mapping):
        self.mapping = mapping

    def __call__(self, results):
        return results


def test_settings_of_a_loader_of_ones_own_count(root):
    def fingerprint(**settings):
        loader = dict(type='LoadMappedAnnotations', **settings)
        return find_label_maps(build(config(root, pipeline=[loader]))).fingerprint

    assert fingerprint(mapping={1: 0}) == fingerprint(mapping={1: 0})
    assert fingerprint(mapping={1: 0}) != fingerprint(mapping={1: 2})
    assert fingerprint(mapping=object()) == fingerprint(mapping=object())  # it names no setting
    one, other = np.zeros((2, 2**16), np.uint8)
    other[1500] = 1  # repr leaves it out
    assert fingerprint(mapping=one) == fingerprint(mapping=one.copy())
    assert fingerprint(mapping=one) != fingerprint(mapping=other)
    assert fingerprint(mapping={'a': [one]}) != fingerprint(mapping={'a': [other]})
    assert fingerprint(mapping=one) != fingerprint(mapping=one.reshape(2, -1))
    assert fingerprint(mapping=torch.tensor(one)) != fingerprint(mapping=torch.tensor(other))


def test_settings_beside_one_that_cannot_be_written_down_count(root):
    def fingerprint(mapping):
        dataset = build(
            config(root, pipeline=[dict(type='LoadMappedAnnotations', mapping=mapping)])
        )
        dataset.pipeline.transforms[0].handle = object()
        return find_label_maps(dataset).fingerprint

    assert fingerprint({1: 0}) == fingerprint({1: 0}) != fingerprint({1: 2})


def test_a_data_set_without_names_of_classes(root):
    dataset = build(dict(config(root, img_suffix='.png'), type='BaseSegDataset'))
    with pytest.raises(ValueError, match='BaseSegDataset has no names of classes'):
        find_label_maps(dataset)
