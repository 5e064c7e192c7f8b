import numpy as np
import pytest

from mmseg_imbalance.sampling.class_probability import (
    frequency_probability,
    performance_probability,
)

SHARE = np.array([0.7, 0.25, 0.05, 0.0])
AVAILABLE = np.array([True, True, True, False])


@pytest.mark.parametrize(
    ('mode', 'weight'),
    [
        ('uniform', [1, 1, 1]),
        ('inverse', [1 / 0.7, 1 / 0.25, 1 / 0.05]),
        ('sqrt', [0.7**-0.5, 0.25**-0.5, 0.05**-0.5]),
        ('rare', [np.exp(0.3 / 0.1), np.exp(0.75 / 0.1), np.exp(0.95 / 0.1)]),
    ],
)
def test_frequency_formulas(mode, weight):
    probability = frequency_probability(mode, SHARE, AVAILABLE, temperature=0.1)
    np.testing.assert_allclose(probability[:3], np.array(weight) / sum(weight))
    assert probability[3] == 0


def test_small_temperature_does_not_overflow():
    probability = frequency_probability('rare', SHARE, AVAILABLE, temperature=1e-5)
    np.testing.assert_array_equal(probability, [0, 0, 1, 0])


@pytest.mark.parametrize('mode', ('uniform', 'inverse', 'sqrt', 'rare'))
def test_nothing_available(mode):
    assert frequency_probability(mode, SHARE, np.zeros(4, bool)).tolist() == [0] * 4
    assert performance_probability(SHARE, np.zeros(4, bool)).tolist() == [0] * 4


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match=r"one of \('uniform', .*got 'often'"):
        frequency_probability('often', SHARE, AVAILABLE)
    with pytest.raises(ValueError, match='temperature must be > 0, got 0'):
        frequency_probability('rare', SHARE, AVAILABLE, temperature=0)
    with pytest.raises(ValueError, match='has no pixels'):
        frequency_probability('inverse', SHARE, np.ones(4, bool))


@pytest.mark.parametrize('gamma', (0, 0.5, 1, 3))
@pytest.mark.parametrize('floor', (0, 0.1, 1))
def test_performance_formula(gamma, floor):
    score = np.array([0.9, 0.4, 0.0, 0.5])
    probability = performance_probability(score, AVAILABLE, gamma, floor)
    weight = [0.1**gamma, 0.6**gamma, 1]
    expected = [(1 - floor) * w / sum(weight) + floor / 3 for w in weight]
    np.testing.assert_allclose(probability, [*expected, 0])


def test_worse_classes_are_likelier_and_none_starves():
    probability = performance_probability(np.array([1, 0.8, 0.1, 0.9]), np.ones(4, bool), 2, 0.2)
    assert list(np.argsort(-probability)) == [2, 1, 3, 0]
    assert probability.min() == pytest.approx(0.2 / 4)


def test_unknown_score_counts_as_0():
    score = np.array([0.5, np.nan, 0.5, 0.5])
    known = np.array([0.5, 0, 0.5, 0.5])
    everything = np.ones(4, bool)
    np.testing.assert_array_equal(
        performance_probability(score, everything), performance_probability(known, everything)
    )


def test_nothing_left_to_improve():
    np.testing.assert_allclose(performance_probability(np.ones(4), np.ones(4, bool), 1, 0), 0.25)
