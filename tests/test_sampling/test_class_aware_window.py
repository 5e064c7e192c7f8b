"""Windows that show a class, and plain ones, of arrays and tensors."""

import numpy as np
import pytest
import torch

from mmseg_imbalance.sampling import class_aware_window

SIZE = (3, 4)


def label_map():
    label = np.zeros((9, 11), np.uint8)
    label[7, 2] = 1
    label[:2] = 255
    return label


def windows(label=None, draws=400, **kwargs):
    label = label_map() if label is None else label
    random = np.random.RandomState(0)
    return [class_aware_window(label, SIZE, random=random, **kwargs) for _ in range(draws)]


def shows(window, cls, label):
    top, bottom, left, right = window
    assert (bottom - top, right - left) == SIZE
    assert 0 <= top and bottom <= label.shape[0] and 0 <= left and right <= label.shape[1]
    return cls in np.asarray(label[top:bottom, left:right])


@pytest.mark.parametrize('convert', [np.asarray, torch.from_numpy])
def test_drawn_class_is_shown(convert):
    label = convert(label_map())
    assert all(shows(window, 1, label) for window in windows(label, drawn_class=1))


@pytest.mark.parametrize('drawn_class', [None, 2])  # 2 is not in the label map
def test_without_a_class_all_windows_are_equally_likely(drawn_class):
    found = windows(draws=5600, drawn_class=drawn_class)
    numbers = np.unique(np.array(found)[:, [0, 2]], axis=0, return_counts=True)[1]
    assert len(numbers) == 7 * 8
    assert 50 < numbers.min() and numbers.max() < 160  # 100 each


def test_uniform_draws_one_of_the_classes_shown():
    shown = [shows(window, 1, label_map()) for window in windows(class_probability='uniform')]
    assert 0.5 < np.mean(shown) < 0.75  # half of the draws, and some windows of class 0


def test_nothing_labelled():
    label = np.full((9, 11), 255, np.uint8)
    plain = windows(label)
    assert len(set(plain)) == 7 * 8
    for probability in ('uniform', [1, 1]):
        assert windows(label, class_probability=probability) == plain


def test_other_words_are_refused():
    with pytest.raises(ValueError, match="class_probability must be numbers, 'uniform' or None"):
        windows(class_probability='rare')
