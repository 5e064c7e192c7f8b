import numpy as np
import pytest
from scipy.stats import chisquare

from mmseg_imbalance.sampling.draw_stream import BLOCK, UNIFORM, DrawStream

HOLDERS = [np.arange(30), np.array([1, 5, 6]), np.array([29]), np.array([], int)]
PROBABILITY = np.array([0.2, 0.5, 0.3, 0.0])
SCHEDULE = [(0, PROBABILITY)]


def draw(uniform_ratio=0.5, seed=0, blocks=range(40), schedule=SCHEDULE, holders=HOLDERS, size=30):
    stream = DrawStream(holders, size, uniform_ratio, seed)
    images, classes = zip(*(stream.block(b, schedule) for b in blocks), strict=True)
    return np.concatenate(images), np.concatenate(classes)


def test_blocks_do_not_depend_on_those_before():
    images, classes = draw(0.3, blocks=range(7))
    again = draw(0.3, blocks=[6, 2, 0, 5, 5, 1, 4, 3])
    order = [2, 5, 1, 7, 6, 3, 0]
    for first, second in zip((images, classes), again, strict=True):
        shuffled = second.reshape(-1, BLOCK)
        np.testing.assert_array_equal(first.reshape(-1, BLOCK), shuffled[order])
    far = 10**12
    assert np.array_equal(draw(blocks=[far])[0], draw(blocks=[far])[0])


def test_seeds_differ():
    images, again, other = draw()[0], draw()[0], draw(seed=1)[0]
    assert np.array_equal(images, again)
    assert (images != other).mean() > 0.8


def test_stays_what_it_is():
    # Written down once: a stream that changes with a release breaks every resumed training.
    images, classes = draw(seed=123, blocks=[0, 3])
    assert images[:12].tolist() == [1, 19, 9, 5, 16, 22, 5, 26, 1, 27, 29, 5]
    assert classes[:12].tolist() == [1, -1, -1, 1, -1, -1, -1, 0, -1, -1, 2, 1]
    assert images[-4:].tolist() == [5, 10, 25, 23]


@pytest.mark.parametrize('uniform_ratio', (0, 0.1, 0.5, 1 / 3, 0.999, 1))
def test_share_of_uniform_draws(uniform_ratio):
    _, classes = draw(uniform_ratio)
    count = (classes == UNIFORM).reshape(-1, BLOCK).sum(1)
    assert np.abs(np.cumsum(count) - uniform_ratio * BLOCK * np.arange(1, 41)).max() <= 1


@pytest.mark.parametrize('size', (1, 30, 5000))
def test_uniform_draws_see_every_image_equally_often(size):
    images, classes = draw(0.4, size=size, holders=[np.array([0])], schedule=[(0, np.ones(1))])
    uniform = images[classes == UNIFORM]
    for stop in (size // 2, size, 2 * size + 3, len(uniform)):
        count = np.bincount(uniform[:stop], minlength=size)
        assert count.max() - count.min() <= 1
    epochs = uniform[: len(uniform) // size * size].reshape(-1, size)
    assert (np.sort(epochs, 1) == np.arange(size)).all()
    if size > 1:
        assert not np.array_equal(epochs[0], epochs[1]) or len(epochs) < 2


def test_uniform_draws_have_no_pattern():
    # over two ranks, the shares of uniform draws have to be alike
    _, classes = draw(0.5)
    for world_size in (2, 4, 8):
        for rank in range(world_size):
            share = (classes[rank::world_size] == UNIFORM).mean()
            assert abs(share - 0.5) < 0.02


def test_classes_are_drawn_with_their_probabilities():
    _, classes = draw()
    count = np.bincount(classes[classes != UNIFORM], minlength=4)
    assert count[3] == 0
    assert chisquare(count[:3], PROBABILITY[:3] * count.sum()).pvalue > 0.01
    wrong = np.array([0.22, 0.48, 0.3])
    assert chisquare(count[:3], wrong * count.sum()).pvalue < 0.01  # the test can tell


def test_images_of_a_class_are_drawn_alike():
    images, classes = draw()
    for c, holders in enumerate(HOLDERS[:3]):
        count = np.bincount(images[classes == c], minlength=30)
        assert set(np.flatnonzero(count)) == set(holders)
        assert len(holders) == 1 or chisquare(count[holders]).pvalue > 0.01


def test_new_probabilities_hold_from_their_position():
    since = 3 * BLOCK + 100
    only_third = np.array([0, 0, 1.0, 0])
    images, classes = draw()
    changed_images, changed = draw(schedule=[*SCHEDULE, (since, only_third)])
    np.testing.assert_array_equal(classes[:since], changed[:since])
    np.testing.assert_array_equal(images[:since], changed_images[:since])
    after = changed[since:]
    assert set(after.tolist()) == {2, UNIFORM}
    np.testing.assert_array_equal(after == UNIFORM, classes[since:] == UNIFORM)


def test_several_changes_within_a_block():
    one = [np.eye(4)[c] for c in (0, 1, 2)]
    _, classes = draw(0, blocks=[0], schedule=[(0, one[2]), (10, one[0]), (20, one[1])])
    assert classes.tolist() == [2] * 10 + [0] * 10 + [1] * (BLOCK - 20)
    _, classes = draw(0, blocks=[1], schedule=[(0, one[2]), (10, one[0]), (20, one[1])])
    assert set(classes) == {1}


def test_positions_before_the_first_probabilities_have_those():
    # an upstream runner replays the past of a resumed stream and throws it away
    _, classes = draw(0, blocks=[0], schedule=[(5000, np.eye(4)[2])])
    assert set(classes) == {2}
