"""What toy streets look like, in numbers."""

import numpy as np
import pytest

from lab.streets.street_scene import CLASSES, draw_street


@pytest.fixture(scope='module')
def scenes():
    return [draw_street(0, 'train', i) for i in range(60)]


def test_the_long_tail_has_the_promised_shares(scenes):
    counts = sum(np.bincount(label.ravel(), minlength=256) for _, label in scenes)
    share = dict(zip(CLASSES, 100 * counts / counts.sum(), strict=False))
    bands = {
        'sky': (7, 15),
        'building': (25, 38),
        'road': (28, 38),
        'sidewalk': (4, 9),
        'vegetation': (5, 13),
        'car': (2, 7),
        'pole': (0.6, 1.5),
        'sign': (0.2, 0.55),
        'pedestrian': (0.35, 0.9),
        'bicycle': (0.1, 0.35),
    }
    assert {n: s for n, s in share.items() if not bands[n][0] < s < bands[n][1]} == {}
    assert 1 < 100 * counts[255] / counts.sum() < 6


def test_labels_hold_classes_and_ignored_pixels_only(scenes):
    values = np.unique([label for _, label in scenes])
    assert values.tolist() == [*range(len(CLASSES)), 255]


def test_rare_classes_are_spread_over_many_images(scenes):
    for name, least in (('bicycle', 0.2), ('sign', 0.5), ('pedestrian', 0.6), ('pole', 0.9)):
        present = np.mean([(label == CLASSES.index(name)).any() for _, label in scenes])
        assert present > least, name


def test_the_sky_is_above_the_road(scenes):
    for _, label in scenes:
        rows = np.arange(label.shape[0])[:, None] * np.ones_like(label, int)
        above, below = rows[label == CLASSES.index('sky')], rows[label == CLASSES.index('road')]
        assert above.max() < below.max() and above.mean() < below.mean() - 20


def test_colour_alone_does_not_tell_the_classes_apart(scenes):
    """A classifier that knows all colours' best class still misses the rare classes."""
    bins = np.concatenate([(image // 32).reshape(-1, 3) for image, _ in scenes]).astype(int)
    colour = bins @ (64, 8, 1)
    label = np.concatenate([label.ravel() for _, label in scenes])
    colour, label = colour[label != 255], label[label != 255]
    votes = np.zeros((512, len(CLASSES)), int)
    np.add.at(votes, (colour, label), 1)
    guess = votes.argmax(1)[colour]
    recall = {n: (guess[label == i] == i).mean() for i, n in enumerate(CLASSES)}
    assert all(recall[n] < 0.2 for n in ('car', 'pole', 'sign', 'pedestrian', 'bicycle')), recall
    assert (guess == label).mean() < 0.75


def test_light_changes_from_image_to_image(scenes):
    assert np.std([image.mean() for image, _ in scenes]) > 10


@pytest.mark.parametrize('size', [(256, 128), (64, 32), (96, 200), (512, 32)])
def test_size_and_dtypes(size):
    image, label = draw_street(3, 'val', 0, size)
    assert image.shape == (size[1], size[0], 3) and label.shape == (size[1], size[0])
    assert image.dtype == label.dtype == np.uint8


def test_a_scene_depends_on_seed_split_and_index_alone():
    first = draw_street(5, 'train', 7, (64, 32))
    draw_street(5, 'train', 8, (64, 32))
    np.random.seed(1)
    again = draw_street(5, 'train', 7, (64, 32))
    assert np.array_equal(first[0], again[0]) and np.array_equal(first[1], again[1])
    for other in ((6, 'train', 7), (5, 'val', 7), (5, 'train', 8)):
        assert not np.array_equal(first[0], draw_street(*other, (64, 32))[0])
