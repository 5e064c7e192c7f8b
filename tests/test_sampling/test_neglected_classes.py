"""Which classes are told of as neglected, and when."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

from mmseg_imbalance.sampling.class_feedback_hook import ClassFeedbackHook
from mmseg_imbalance.sampling.neglected_classes import neglected_classes


@pytest.mark.parametrize(
    'pixels, found, neglected',
    [
        ([600, 400], [179, 400], [0]),  # recall below 0.3, half of the share
        ([600, 400], [180, 400], []),
        ([910, 90], [910, 0], []),  # rare classes are not of interest here
        ([900, 100], [900, 0], [1]),
        ([0, 0], [0, 0], []),  # nothing labelled
    ],
)
def test_neglected(pixels, found, neglected):
    counts = np.array([pixels, found, found], float)
    names = [phrase.split(' (')[0] for phrase in neglected_classes(counts, 'ab')]
    assert names == ['ab'[c] for c in neglected]


@pytest.mark.parametrize(
    'max_iters, interval, checks',
    [(1000, 50, [100]), (1010, 50, [150]), (300, 50, [50]), (30, 50, [])],
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
    (phrase,) = neglected_classes(np.array([[60, 40], [6, 40], [6, 94]]), ('road', 'pole'))
    assert re.fullmatch(r'road \(60 % of the pixels, recall 10 %\)', phrase)
