"""Which classes are told of as neglected, and when."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

from mmseg_imbalance.sampling.class_feedback_hook import ClassFeedbackHook
from mmseg_imbalance.sampling.neglected_classes import neglected_classes


@pytest.mark.parametrize(
    'pixels, found, predicted, neglected',
    [
        ([600, 350, 50], [179, 350, 50], [179, 350, 471], 'a'),  # recall below 0.3
        ([600, 350, 50], [180, 350, 50], [180, 350, 470], ''),
        ([600, 350, 50], [0, 0, 50], [0, 0, 1000], 'ab'),
        ([600, 350, 50], [600, 0, 0], [1000, 0, 0], ''),  # b is not learned yet
        ([600, 350, 50], [179, 350, 50], [179, 721, 100], ''),  # taken for b, not for c
        ([910, 0, 90], [910, 0, 0], [910, 0, 90], ''),  # rare classes are not of interest here
        ([0, 0, 0], [0, 0, 0], [0, 0, 0], ''),  # nothing labelled
    ],
)
def test_neglected(pixels, found, predicted, neglected):
    counts = np.array([pixels, found, predicted], float)
    names = [phrase.split(' (')[0] for phrase in neglected_classes(counts, 'abc')]
    assert ''.join(names) == neglected


@pytest.mark.parametrize(
    'max_iters, interval, checks',
    [(1000, 50, [200]), (1010, 50, [250]), (200, 50, [50]), (30, 50, [])],
)
def test_checked_once(max_iters, interval, checks):
    hook = ClassFeedbackHook(interval=interval)
    readings = range(interval, max_iters + 1, interval)
    said = [
        done
        for done in readings
        if hook._is_early_check(SimpleNamespace(iter=done - 1, max_iters=max_iters))
    ]
    assert said == checks


def test_phrase_has_share_and_recall():
    (phrase,) = neglected_classes(np.array([[95, 5], [19, 5], [19, 81]]), ('road', 'pole'))
    assert re.fullmatch(r'road \(95 % of the pixels, recall 20 %\)', phrase)
