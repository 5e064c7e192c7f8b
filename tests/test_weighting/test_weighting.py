import numpy as np
import pytest
from references import max_pooling_weights

from mmseg_imbalance.weighting.pooling_figure import weighting_figure


def test_lines_are_the_optimal_weights():
    losses = np.random.default_rng(0).exponential(size=200)
    ps, ratios = (1, 1.7, float('inf')), (0.1, 0.25, 0.5)
    figure = weighting_figure(losses, ps, ratios)
    assert len([axis for axis in figure.axes if axis.get_visible()]) == 1 + len(ratios)
    descending = np.sort(losses)[::-1]
    for axis, ratio in zip(figure.axes[1:], ratios, strict=False):
        assert axis.get_title() == f'ratio = {ratio:g}'
        for line, p in zip(axis.get_lines(), ps, strict=False):
            expected = 200 * max_pooling_weights(descending, p, ratio)
            np.testing.assert_allclose(line.get_ydata(), expected, rtol=1e-4, atol=1e-5)
            assert line.get_label() == ('p = ∞' if np.isinf(p) else f'p = {p:g}')


@pytest.mark.parametrize(
    ('losses', 'message'),
    [([], 'got an array of shape'), ([[1.0]], 'shape'), ([1, -1], '≥ 0'), ([1, np.nan], 'finite')],
)
def test_bad_losses_are_named(losses, message):
    with pytest.raises(ValueError, match=message):
        weighting_figure(np.array(losses), [1.7], [0.25])
