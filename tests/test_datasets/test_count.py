"""Counts against brute force, and label maps that cannot be counted."""

import tracemalloc

import cv2
import numpy as np
import pytest
from label_files import BAD, LOADER, ODD, build, config, spoil, store, write_labels
from mmseg.registry import TRANSFORMS

from mmseg_imbalance.datasets.count import BadLabelsError, _attempt, count_classes
from mmseg_imbalance.datasets.label_maps import find_label_maps
from mmseg_imbalance.utils.label_values import pixels_of_values


def brute_force(labels, meaning):
    """Pixels of each class, where ``meaning`` maps stored values to classes, others are ignored."""
    pixels = np.zeros((len(labels), max(meaning.values()) + 1), np.int64)
    ignored = np.zeros(len(labels), np.int64)
    for row, key in enumerate(sorted(labels)):
        for value in labels[key].flat:
            if value in meaning:
                pixels[row, meaning[value]] += 1
            else:
                ignored[row] += 1
    return pixels, ignored


SAME = {c: c for c in range(11)}


@pytest.mark.elsewhere
@pytest.mark.parametrize(
    'values, settings, meaning',
    [
        ((0, 1, 3, 8, 10, 255), {}, SAME),
        ((0, 1, 11, 255), {}, SAME),  # 11, unlabelled, is ignored by the data set's label_map
        ((0, 2, 11, 255), dict(reduce_zero_label=True), {v: v - 1 for v in range(1, 12)}),
        ((0, 3, 8, 255), dict(metainfo=dict(classes=('Car', 'Sky'))), {8: 0, 0: 1}),
        ((0, 3, 8, 7), dict(ignore_index=7), {c: c for c in SAME if c != 7}),
    ],
)
def test_counts(tmp_path, values, settings, meaning):
    labels = write_labels(tmp_path, 11, values=values)
    dataset = build(config(tmp_path, **settings))
    statistics = count_classes(dataset, nproc=2)
    pixels, ignored = brute_force(labels, meaning)
    pixels = np.pad(pixels, ((0, 0), (0, len(statistics.classes) - pixels.shape[1])))
    assert statistics.keys == tuple(sorted(labels))
    np.testing.assert_array_equal(statistics.pixels, pixels)
    np.testing.assert_array_equal(statistics.ignored, ignored)


def test_what_is_repeated_is_counted_once(tmp_path):
    labels = write_labels(tmp_path)
    both = dict(type='ConcatDataset', datasets=[config(tmp_path), config(tmp_path)])
    statistics = count_classes(build(dict(type='RepeatDataset', dataset=both, times=3)), nproc=1)
    np.testing.assert_array_equal(statistics.pixels, brute_force(labels, SAME)[0])


@pytest.mark.parametrize('dtype', [np.uint8, np.int32, np.int64])
def test_values_of_large_label_maps(dtype):
    label = np.random.default_rng(0).choice([0, 7, 254, 255], (700, 900), p=[0.9, 0.05, 0.04, 0.01])
    for array in (label.astype(dtype), label.astype(dtype).T[::-2]):
        values, numbers = np.unique(array, return_counts=True)
        expected = dict(zip(values.tolist(), numbers.tolist(), strict=True))
        assert pixels_of_values(array) == expected


def test_counts_beyond_the_precision_of_float32():
    label = np.zeros((4097, 4097), np.uint8)
    label[0, 0] = 1
    assert pixels_of_values(label) == {0: 4097**2 - 1, 1: 1}


# ---- bad label maps


@pytest.mark.parametrize('how', BAD)
def test_a_bad_label_map_is_named(tmp_path, how):
    write_labels(tmp_path)
    spoil(tmp_path / 'labels/train/frame 2.png', how)
    start = f'1 of 4 label maps below {tmp_path} .*: labels/train/frame 2.png: {BAD[how]}'
    with pytest.raises(BadLabelsError, match=start) as error:
        count_classes(build(config(tmp_path)), nproc=1)
    assert '\n' not in str(error.value) and 'more;' not in str(error.value)


def test_ids_that_are_no_classes_are_named(tmp_path):
    labels = write_labels(tmp_path)
    label = labels['labels/train/frame 2.png']
    label[0, :3], label[1, 0] = 200, 12
    cv2.imwrite(str(tmp_path / 'labels/train/frame 2.png'), label)
    message = r'holds 12 \(1 pixels\), 200 \(3 pixels\), neither a class \(0 to 10\) nor'
    with pytest.raises(BadLabelsError, match=message):
        count_classes(build(config(tmp_path)), nproc=1)


@pytest.mark.parametrize('how', ODD)
def test_an_odd_label_map_is_counted(tmp_path, how):
    labels = write_labels(tmp_path, values=(0, 1, 3))
    key = 'labels/train/frame 2.png'
    labels[key] = store(tmp_path / key, labels[key], how)
    found = count_classes(build(config(tmp_path)), nproc=1)
    np.testing.assert_array_equal(found.pixels[:, :4], brute_force(labels, {0: 0, 1: 1, 3: 3})[0])


def test_a_label_map_as_wide_as_a_street_is_long(tmp_path):
    """In little more memory than it has pixels."""
    rng = np.random.default_rng(0)
    label = rng.choice([0, 4, 255], size=(4, 100_000), p=[0.5, 0.4, 0.1]).astype(np.uint8)
    for kind, array in (('labels', label), ('images', np.zeros_like(label))):
        (tmp_path / kind / 'train').mkdir(parents=True)
        assert cv2.imwrite(str(tmp_path / kind / 'train/wide.png'), array)
    labels = find_label_maps(build(config(tmp_path)))
    tracemalloc.start()
    try:
        counts = _attempt(next(iter(labels.maps.values())), 11)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert counts[[0, 4, -1]].tolist() == [(label == v).sum() for v in (0, 4, 255)]
    assert counts.sum() == label.size and peak < 8 * label.size


def test_other_loaders_read_what_they_like(tmp_path):
    """Colours and depths that mmseg's own loader would spoil."""
    write_labels(tmp_path)
    spoil(tmp_path / 'labels/train/frame 2.png', '16 bits')
    loader = dict(type='LoadMyAnnotations')
    assert count_classes(build(config(tmp_path, pipeline=[loader])), nproc=1).pixels.sum() == 24


def test_ten_bad_label_maps_are_named(tmp_path):
    write_labels(tmp_path, 13)
    for i in range(12):
        spoil(tmp_path / f'labels/train/frame {i}.png', 'dangling link')
    with pytest.raises(BadLabelsError, match=r'12 of 13 label maps .*; and 2 more; mend') as error:
        count_classes(build(config(tmp_path)), nproc=1)
    assert str(error.value).count('No such file') == 10


def test_a_failing_loader_is_quoted(tmp_path):
    write_labels(tmp_path)
    loader = dict(LOADER, reduce_zero_label=False)
    dataset = build(config(tmp_path, pipeline=[loader], reduce_zero_label=True))
    with pytest.raises(BadLabelsError, match='4 of 4 label maps .*: Initialize dataset with `red'):
        count_classes(dataset, nproc=1)


@TRANSFORMS.register_module()
class LoadSegmentAnnotations:
    """Reads what a data set of the user's own adds to its samples."""

    def __call__(self, results):
        return dict(results, gt_seg_map=np.full((2, 3), results['segments'], np.int64))


def test_a_loader_gets_all_of_a_sample(tmp_path):
    write_labels(tmp_path)
    dataset = build(config(tmp_path, pipeline=[dict(type='LoadSegmentAnnotations')]))
    with pytest.raises(BadLabelsError, match="frame 0.png: KeyError: 'segments'"):
        count_classes(dataset, nproc=1)
    for sample in dataset.data_list:
        sample['segments'] = 2
    assert count_classes(dataset, nproc=1).pixels[:, 2].tolist() == [6] * 4


@TRANSFORMS.register_module()
class LoadMyAnnotations:
    """Adds to the results of the loader before it, in another type."""

    def __call__(self, results):
        return dict(results, gt_seg_map=np.full((2, 3), 4, np.int64))


def test_other_loaders(tmp_path):
    write_labels(tmp_path)
    statistics = count_classes(
        build(config(tmp_path, pipeline=[dict(type='LoadMyAnnotations'), LOADER])), nproc=1
    )
    assert statistics.pixels[:, 4].tolist() == [6] * 4 and statistics.pixels.sum() == 24
