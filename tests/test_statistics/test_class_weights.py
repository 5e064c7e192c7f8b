"""Class weights against hand-made numbers and the papers' formulas."""

import math

import numpy as np
import pytest

from mmseg_imbalance.statistics import class_weights
from mmseg_imbalance.statistics.class_statistics import ClassStatistics
from mmseg_imbalance.statistics.class_values import load_class_weight
from mmseg_imbalance.statistics.class_weights import METHODS, save_class_weights


def make(pixels):
    pixels = np.array(pixels, np.int64)
    n, c = pixels.shape
    names = tuple(map(str, range(n))), tuple(map(str, range(c)))
    return ClassStatistics(names[1], names[0], pixels, np.full(n, 1000), 'x')


# Pixel shares 0.6, 0.3, 0 and 0.1; in 3, 2, 0 and 1 images.
STATISTICS = make([[40, 0, 0, 0], [10, 10, 0, 0], [10, 20, 0, 10]])


@pytest.mark.parametrize(
    'method, expected',
    [
        # 1/f = 5/3, 10/3, 10, of mean 5
        ('inverse_frequency', [1 / 3, 2 / 3, 0, 2]),
        ('median_frequency', [0.5 / 0.6, 1, 0, 0.5 / 0.25]),  # g = 60/100, 30/60, 10/40
        ('enet', [1 / math.log(1.62), 1 / math.log(1.32), 0, 1 / math.log(1.12)]),
    ],
)
def test_by_hand(method, expected):
    np.testing.assert_allclose(class_weights(STATISTICS, method), expected, rtol=1e-12)


def test_square_roots_by_hand():
    roots = [0.6**-0.5, 0.3**-0.5, 0, 0.1**-0.5]
    np.testing.assert_allclose(
        class_weights(STATISTICS, 'sqrt_inverse_frequency'), np.divide(roots, sum(roots) / 3)
    )


@pytest.mark.parametrize(
    'pixels, exponent',
    [([60, 30, 0, 10], 1 / 2), ([9900, 1, 99, 0], math.log(10) / math.log(9900)), ([7, 7], 1 / 2)],
)
def test_auto_weights_span_at_most_ten(pixels, exponent):
    weights = np.array(class_weights(make([pixels]), 'auto'))
    present = np.array(pixels) > 0
    assert weights[present].max() / weights[present].min() <= 10 * (1 + 1e-12)
    assert weights[present].mean() == pytest.approx(1) and not weights[~present].any()
    products = weights[present] * np.power(np.array(pixels)[present], exponent)
    np.testing.assert_allclose(products, products[0])


@pytest.mark.parametrize('beta', [0.5, 0.9, 0.999])
def test_effective_number_by_its_sum(beta):
    # The effective number of n images is 1 + β + … + β^(n-1).
    inverse = np.array([1 / sum(beta**i for i in range(n)) if n else 0 for n in (3, 2, 0, 1)])
    expected = inverse / inverse.sum() * 3
    np.testing.assert_allclose(class_weights(STATISTICS, 'effective_number', beta), expected)


def test_effective_number_tends_to_the_number():
    weights = class_weights(STATISTICS, 'effective_number', 1 - 1e-15)
    np.testing.assert_allclose(np.array(weights)[[0, 1]] / weights[3], [1 / 3, 1 / 2], rtol=1e-6)


@pytest.mark.parametrize('method', METHODS)
def test_extremes_are_finite(method):
    for pixels in ([[10**15, 1, 0]], [[1, 0, 0]], [[10**15, 10**15, 1]] * 3):
        weights = np.array(class_weights(make(pixels), method))
        assert np.isfinite(weights).all()
        np.testing.assert_array_equal(weights > 0, np.any(pixels, 0))


def test_what_is_refused():
    with pytest.raises(
        ValueError, match="unknown method 'inverse', known are auto, inverse_frequency, "
    ):
        class_weights(STATISTICS, 'inverse')
    for beta in (0, 1, -1, math.nan):
        with pytest.raises(ValueError, match='beta must be between 0 and 1'):
            class_weights(STATISTICS, 'effective_number', beta)
    with pytest.raises(ValueError, match='no class has a pixel'):
        class_weights(make([[0, 0]]), 'enet')


@pytest.mark.parametrize('suffix', ['json', 'yaml', 'yml', 'npy'])
def test_losses_read_the_files(tmp_path, suffix):
    path = tmp_path / 'new' / f'weights.{suffix}'
    weights = class_weights(STATISTICS, 'sqrt_inverse_frequency')
    save_class_weights(weights, path)
    assert load_class_weight(str(path)) == weights


def test_other_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r'weights.pkl: class weights are kept in \.npy, .*\.yml'):
        save_class_weights([1.0], tmp_path / 'weights.pkl')
