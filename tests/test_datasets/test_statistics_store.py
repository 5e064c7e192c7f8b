"""Counted once, kept, loaded; stale files; several processes."""

import os
import re
import shutil
from functools import partial

import numpy as np
import pytest
import torch.distributed as dist
from label_files import build, config, write_labels
from mmengine.config import Config
from mmengine.fileio.backends import LocalBackend, register_backend
from two_ranks import on_two_ranks

from mmseg_imbalance.datasets import class_statistics, store
from mmseg_imbalance.datasets import count as count_module
from mmseg_imbalance.datasets.count import BadLabelsError, count_classes
from mmseg_imbalance.datasets.label_maps import find_label_maps
from mmseg_imbalance.datasets.store import (
    StaleStatisticsError,
    default_path,
    label_rows,
    training_statistics,
)
from mmseg_imbalance.statistics.class_statistics import ClassStatistics
from mmseg_imbalance.utils.errors import FileError

WAY_OUT = r'; count anew with tools/analysis_tools/class_statistics.py --force, or name another'


@pytest.fixture
def root(tmp_path):
    root = tmp_path / 'data'
    write_labels(root, 4, folder='train')
    write_labels(root, 5, seed=1, folder='more')
    return root


@pytest.mark.elsewhere
def test_counted_once_and_kept_beside_the_data(root, monkeypatch):
    dataset = build(config(root))
    expected = count_classes(dataset, nproc=1)
    path = default_path(find_label_maps(dataset))
    assert path == root / f'class_statistics/{expected.fingerprint[:12]}.npz'
    first = class_statistics(dataset, nproc=1)
    monkeypatch.setattr(store, 'count_listed_label_maps', None)
    repeated = dict(type='RepeatDataset', dataset=config(root), times=2)
    for found in (first, class_statistics(dataset), class_statistics(build(repeated))):
        np.testing.assert_array_equal(found.pixels, expected.pixels)
    assert os.listdir(path.parent) == [path.name]


def test_label_maps_that_have_changed_since(root, tmp_path):
    """Sizes in bytes tell, without reading the files; places and times may differ."""
    path = tmp_path / 'train.npz'
    expected = class_statistics(build(config(root)), path, nproc=1)
    moved = shutil.copytree(root, tmp_path / 'elsewhere')
    label = moved / 'labels/train/frame 1.png'
    os.utime(label, (0, 0))
    found = class_statistics(build(config(moved)), path)
    np.testing.assert_array_equal(found.file_sizes, expected.file_sizes)
    assert found.file_sizes[1] == label.stat().st_size
    label.write_bytes(label.read_bytes() + b'0')
    (moved / 'labels/train/frame 3.png').unlink()
    message = (
        '2 of 4 label maps have changed since they were counted: labels/train/frame 1.png, '
        'labels/train/frame 3.png' + WAY_OUT
    )
    with pytest.raises(StaleStatisticsError, match=message):
        class_statistics(build(config(moved)), path)
    ClassStatistics(**(vars(expected) | {'file_sizes': None})).save(path)
    assert class_statistics(build(config(moved)), path).file_sizes is None


def test_a_label_map_that_changes_while_it_is_counted(root, tmp_path, monkeypatch):
    """Its size is taken before."""
    path, label = tmp_path / 'train.npz', root / 'labels/train/frame 1.png'
    count = count_module.run_in_workers

    def run_and_change(*args, **kwargs):
        results = count(*args, **kwargs)
        label.write_bytes(label.read_bytes() + b'0')
        return results

    monkeypatch.setattr(count_module, 'run_in_workers', run_and_change)
    class_statistics(build(config(root)), path, nproc=1)
    with pytest.raises(StaleStatisticsError, match='1 of 4 label maps have changed'):
        class_statistics(build(config(root)), path)


class BucketBackend(LocalBackend):
    """Has the files of ``data`` in ``bucket``."""

    def get(self, filepath):
        return super().get(filepath.replace('/data/', '/bucket/'))


def test_label_maps_of_which_some_are_behind_a_file_backend(root, tmp_path):
    """They count like all others, but there are no sizes to compare."""
    register_backend('bucket', BucketBackend, force=True)
    expected = count_classes(build(config(root, 'more')), nproc=1)
    (tmp_path / 'bucket/labels').mkdir(parents=True)
    (root / 'labels/more').rename(tmp_path / 'bucket/labels/more')
    loader = dict(type='LoadAnnotations', backend_args=dict(backend='bucket'))
    parts = [config(root, 'more', [loader]), config(root)]
    both = build(dict(type='ConcatDataset', datasets=parts))
    for _ in range(2):  # counted and loaded
        found = class_statistics(both, nproc=1)
        np.testing.assert_array_equal(found.pixels[:5], expected.pixels)
        assert len(found.keys) == 9 and found.file_sizes is None


@pytest.mark.parametrize('of', ['hook', 'sampler'])
def test_the_statistics_of_a_config_are_in_the_file_that_it_names(root, tmp_path, of):
    file = str(tmp_path / 'named.npz')
    sampler = dict(type='ClassBalancedInfiniteSampler')
    hook = dict(type='ClassStatisticsHook')
    dict(hook=hook, sampler=sampler)[of]['statistics'] = file
    loader = dict(dataset=config(root), sampler=sampler)
    counted = training_statistics(Config(dict(train_dataloader=loader, custom_hooks=[hook])))
    assert counted.fingerprint == ClassStatistics.load(file).fingerprint
    assert not (root / 'class_statistics').exists()


def test_rows(root):
    parts = [config(root, 'more'), config(root)]
    both = dict(type='ConcatDataset', datasets=parts)
    statistics = count_classes(build(both), nproc=1)
    dataset = build(dict(type='RepeatDataset', dataset=both, times=2))
    rows = label_rows(dataset, statistics)
    assert rows.dtype == np.int64 and len(rows) == len(dataset) == 18
    for index, row in enumerate(rows):
        assert dataset.get_data_info(index)['seg_map_path'] == f'{root}/{statistics.keys[row]}'
    with pytest.raises(StaleStatisticsError, match='labels/more/frame 0.png is not in the class'):
        label_rows(dataset, count_classes(build(parts[1]), nproc=1))


@pytest.mark.parametrize(
    'change, message',
    [
        (
            dict(folder='more'),
            'counted from 4 label maps, but the data set has 5; not counted: labels/more/frame 0.'
            'png, labels/more/frame 1.png, labels/more/frame 2.png, …; not in the data set: '
            'labels/train/frame 0.png, .*, …',
        ),
        (
            dict(indices=3),
            'counted from 4 label maps, but the data set has 3; '
            'not in the data set: labels/train/frame 3.png',
        ),
        (
            dict(metainfo=dict(classes=('Car',))),
            'counted for other classes, Sky, Building, Pole, …',
        ),
        (dict(ignore_index=8), 'counted from the same label maps, but with another label_map, '),
    ],
)
def test_a_stale_file_says_what_differs(root, tmp_path, change, message):
    path = tmp_path / 'some.npz'
    class_statistics(build(config(root)), path, nproc=1)
    before = path.read_bytes()
    with pytest.raises(StaleStatisticsError, match=rf'some\.npz: {message}') as error:
        class_statistics(build(config(root, **change)), path)
    assert re.search(WAY_OUT, str(error.value)) and '\n' not in str(error.value)
    assert path.read_bytes() == before


def test_a_damaged_file_is_an_error_and_stays(root, tmp_path):
    path = tmp_path / 'some.npz'
    path.write_bytes(b'damaged')
    with pytest.raises(ValueError, match='some.npz: cannot read the class statistics'):
        class_statistics(build(config(root)), path)
    assert path.read_bytes() == b'damaged'


def test_bad_labels_leave_no_file(root, tmp_path):
    (root / 'labels/train/frame 1.png').unlink()
    with pytest.raises(BadLabelsError):
        class_statistics(build(config(root)), tmp_path / 'new/some.npz', nproc=1)
    assert os.listdir(tmp_path / 'new') == []


def test_unwritable_is_noticed_before_counting(root, tmp_path, monkeypatch):
    monkeypatch.setattr(store, 'count_listed_label_maps', None)
    labels = find_label_maps(build(config(root)))
    (tmp_path / 'file').touch()
    for path in (tmp_path / 'file/some.npz', root):
        message = rf'{path} cannot be written \(.+\); name another file .* statistics \(--out'
        with pytest.raises(FileError, match=message):
            store.count_and_save(labels, path)


# ---- several processes


def in_processes(rank, folder):
    """What each of two processes does; only the first may count, and see the file."""
    dataset = build(config(folder / 'data'))
    path = folder / f'{rank}.npz'
    load_or_count = store.load_or_count
    if rank:
        store.load_or_count = None
    get = partial(class_statistics, nproc=1)
    get(dataset, path).save(folder / f'got by {rank}.npz')
    error = StaleStatisticsError if rank == 0 else RuntimeError
    with pytest.raises(error, match='0.npz: counted from 4 label maps'):
        get(build(config(folder / 'data', 'more')), path)
    if rank:
        store.load_or_count = load_or_count
        get(dataset, folder / 'alone.npz', alone=True)
    dist.barrier()


@pytest.mark.elsewhere
def test_one_process_counts_for_all_and_fails_for_all(root, tmp_path):
    on_two_ranks(in_processes, tmp_path)
    expected = count_classes(build(config(root)), nproc=1)
    for rank in (0, 1):
        found = ClassStatistics.load(tmp_path / f'got by {rank}.npz')
        np.testing.assert_array_equal(found.pixels, expected.pixels)
        assert found.keys == expected.keys and found.fingerprint == expected.fingerprint
    assert (tmp_path / '0.npz').is_file() and not (tmp_path / '1.npz').exists()
    assert (tmp_path / 'alone.npz').is_file()
