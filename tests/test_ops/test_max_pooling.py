"""Loss max-pooling weights against a sorting float64 twin, a convex solver and their own bounds."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from references import max_pooling_weights as reference_weights
from scipy.optimize import minimize

from mmseg_imbalance.ops.max_pooling import max_pooling_weights

PS = (1, 1.05, 1.1, 1.3, 1.7, 2, 4, 16, math.inf)
RATIOS = (0.001, 0.1, 0.25, 0.3, 0.77, 1)


def weigh(losses, p, ratio, valid=None):
    losses = torch.as_tensor(losses, dtype=torch.float32)[None]
    valid = torch.ones_like(losses, dtype=torch.bool) if valid is None else valid[None]
    return max_pooling_weights(losses, valid, p, ratio)[0].double().numpy()


def draw(kind: str, n: int) -> torch.Tensor:
    g = torch.Generator().manual_seed(n)
    uniform = torch.rand(n, generator=g, dtype=torch.float64)
    return {
        'exponential': -torch.log1p(-uniform),
        'spanning 1e-30 to 1e30': 10 ** (60 * uniform - 30),
        'ties': (4 * uniform).floor(),
        'all equal': torch.full((n,), math.log(19)),
        'nearly equal': math.log(19) + 1e-3 * uniform,
        'two scales': torch.where(uniform < 0.1, 1e30, 1e-30),
        'mostly zero': -torch.log1p(-uniform) * (uniform < 0.1),
        'all zero': torch.zeros(n),
        'tiny': -1e-30 * torch.log1p(-uniform),
        'geometric pile-up': 1 + 2.0 ** (-23 * uniform),
    }[kind].float()


KINDS = (
    'exponential', 'spanning 1e-30 to 1e30', 'ties', 'all equal', 'nearly equal', 'two scales',
    'mostly zero', 'all zero', 'tiny', 'geometric pile-up',
)  # fmt: skip


def assert_matches_reference(losses: torch.Tensor, p: float, ratio: float) -> None:
    n = len(losses)
    found = weigh(losses, p, ratio)
    expected = n * reference_weights(losses.numpy(), p, ratio)
    losses = losses.double().numpy()
    np.testing.assert_allclose((found * losses).sum(), (expected * losses).sum(), rtol=1e-5)
    if p == 1:  # losses of 0 may have any part
        found, expected = found[losses > 0], expected[losses > 0]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-35)


@pytest.mark.parametrize('p', PS)
@pytest.mark.parametrize('kind', KINDS)
def test_equals_the_sorting_reference(kind, p):
    for n in (1, 2, 3, 7, 100, 10007):
        for ratio in RATIOS:
            assert_matches_reference(draw(kind, n), p, ratio)


@pytest.mark.parametrize('p', PS)
@pytest.mark.parametrize('kind', ('exponential', 'spanning 1e-30 to 1e30'))
def test_equals_the_sorting_reference_on_two_million_losses(kind, p):
    assert_matches_reference(draw(kind, 2_000_000), p, 0.25)


@pytest.mark.elsewhere
@pytest.mark.parametrize('p', (1.001, 1.02, 50.0, 1e4))
def test_norms_beyond_the_usual_ones(p):
    for kind in ('exponential', 'spanning 1e-30 to 1e30', 'nearly equal'):
        assert_matches_reference(draw(kind, 1000), p, 0.25)


@pytest.mark.parametrize('p', [p for p in PS if p < math.inf])
def test_no_generic_solver_finds_a_better_feasible_weighting(p):
    rng = np.random.default_rng(0)
    for n, ratio in ((3, 0.5), (6, 0.25), (8, 0.7)):
        losses = rng.exponential(size=n).astype(np.float32).astype(np.float64)
        m = max(1.0, ratio * n)
        gamma, tau = n ** (1 / p - 1), n ** (1 / p - 1) * m ** (-1 / p)
        solved = minimize(
            lambda w, losses=losses: -losses @ w,
            np.full(n, 0.5 / n),
            jac=lambda w, losses=losses: -losses,
            bounds=[(0, tau)] * n,
            constraints={
                'type': 'ineq',
                'fun': lambda w, gamma=gamma: 1 - ((w / gamma) ** p).sum(),
                'jac': lambda w, gamma=gamma: -p / gamma * (w / gamma) ** (p - 1),
            },
            method='SLSQP',
            options={'ftol': 1e-14, 'maxiter': 1000},
        )
        assert (solved.x**p).sum() ** (1 / p) <= gamma * (1 + 1e-6)  # feasible
        found = weigh(losses, p, ratio) / n @ losses
        np.testing.assert_allclose(found, -solved.fun, rtol=1e-5)


def test_values_computed_by_hand():
    # n = 4, m = 1: α² = 4² + 3, w = (n/m)^(1/2) ℓ/α
    np.testing.assert_allclose(
        weigh([4, 1, 1, 1], 2, 0.25), [8 / 19**0.5] + [2 / 19**0.5] * 3, rtol=1e-6
    )
    # p = 1, m = 1.5: the largest weighs 1/m, the next half of that
    np.testing.assert_allclose(weigh([3, 2, 1], 1, 0.5), [2, 1, 0], rtol=1e-6)
    # two non-zero losses, m = 2.4: both weigh τ
    np.testing.assert_allclose(weigh([5, 0, 1, 0, 0, 0, 0, 0], 2, 0.3)[[0, 2]], (1 / 0.3) ** 0.5)


@settings(max_examples=150)
@given(
    losses=st.lists(st.floats(0, 1e6, width=32, allow_subnormal=False), min_size=1, max_size=60),
    p=st.floats(1, 20),
    ratio=st.floats(0.01, 1),
    data=st.data(),
)
def test_invariants(losses, p, ratio, data):
    losses = np.asarray(losses)
    n = len(losses)
    m = max(1.0, ratio * n)
    q = p / (p - 1) if p > 1 else math.inf
    weights = weigh(losses, p, ratio) / n
    pooled, mean = weights @ losses, losses.mean()
    power_mean = losses.max() * ((losses / max(losses.max(), 1e-30)) ** q).mean() ** (1 / q)
    bound = min(power_mean, (n / m) ** (1 / p) * mean, losses.max())
    assert mean * (1 - 1e-5) - 1e-12 <= pooled <= bound * (1 + 1e-5) + 1e-12
    assert (weights >= 0).all()
    assert weights.max() <= n ** (1 / p - 1) * m ** (-1 / p) * (1 + 1e-5)
    assert (weights**p).sum() ** (1 / p) <= n ** (1 / p - 1) * (1 + 1e-5)
    if np.count_nonzero(losses) > m:  # the p-constraint is active
        assert (m / n) ** (1 - 1 / p) * (1 - 1e-5) <= weights.sum() <= 1 + 1e-5
        assert np.count_nonzero(weights) >= math.floor(m)
    order = np.asarray(data.draw(st.permutations(range(n))))
    permuted = weigh(losses[order], p, ratio) / n
    np.testing.assert_allclose(permuted, weights[order], rtol=1e-5, atol=1e-35)


@pytest.mark.parametrize('p', (1 + 2**-52, 1 + 1e-14, 1 + 1e-10, 1 + 1e-8))
@pytest.mark.parametrize('losses', ([0.125], [1.0, 0.5], draw('exponential', 500)))
@pytest.mark.parametrize('ratio', (0.01, 0.5, 0.75))
def test_next_to_1_p_gives_the_weights_of_1(losses, p, ratio):
    np.testing.assert_allclose(
        weigh(losses, p, ratio), weigh(losses, 1, ratio), rtol=1e-5, atol=1e-12
    )


def test_pixels_that_are_not_valid_have_no_influence():
    losses, g = draw('exponential', 500), torch.Generator().manual_seed(0)
    valid = torch.rand(500, generator=g) < 0.6
    poisoned = torch.where(valid, losses, torch.nan)
    for p in PS:
        found = weigh(poisoned, p, 0.25, valid)
        np.testing.assert_array_equal(found[~valid], 0)
        np.testing.assert_allclose(found[valid], weigh(losses[valid], p, 0.25), rtol=1e-6)


def test_groups_are_pooled_independently():
    losses = torch.stack([draw('exponential', 300), 100 * draw('exponential', 300).flip(0)])
    valid = torch.ones_like(losses, dtype=torch.bool)
    valid[0, :100] = False
    for p in PS:
        together = max_pooling_weights(losses, valid, p, 0.25)
        for g in range(2):
            alone = max_pooling_weights(losses[g : g + 1], valid[g : g + 1], p, 0.25)
            torch.testing.assert_close(together[g : g + 1], alone, rtol=1e-6, atol=1e-35)


@pytest.mark.parametrize('p', PS)
def test_empty_groups_and_empty_batches(p):
    nothing = torch.zeros(2, 5, dtype=torch.bool)
    assert torch.equal(max_pooling_weights(torch.rand(2, 5), nothing, p, 0.25), torch.zeros(2, 5))
    for shape in ((0, 5), (2, 0)):
        empty = torch.zeros(shape)
        assert max_pooling_weights(empty, empty.bool(), p, 0.25).shape == shape


@pytest.mark.parametrize('p', PS)
@pytest.mark.parametrize('bad', (math.nan, -math.nan, math.inf))
def test_losses_that_are_not_finite_stay_visible(p, bad):
    for n in (1, 4, 100):
        losses = torch.rand(n)
        losses[n // 2] = bad
        weights = max_pooling_weights(losses[None], torch.ones(1, n, dtype=torch.bool), p, 0.25)
        assert not (weights[0] * losses).sum().isfinite()
        if math.isnan(bad) and p < math.inf:
            assert weights[0, n // 2].isnan()


def test_negative_zero_is_zero():
    losses = torch.tensor([[-0.0, 1.0, 2.0, -0.0]])
    valid = torch.ones_like(losses, dtype=torch.bool)
    for p in PS:
        assert torch.equal(
            max_pooling_weights(losses, valid, p, 0.5),
            max_pooling_weights(losses.abs(), valid, p, 0.5),
        )


def test_equal_losses_share_the_last_part_at_p_1():
    np.testing.assert_allclose(weigh([4, 1, 1, 1], 1, 0.5), [2, 2 / 3, 2 / 3, 2 / 3], rtol=1e-6)


@pytest.mark.parametrize('p', (1e13, 1e16, 1e300, math.inf))
def test_almost_infinite_p_gives_the_mean(p):
    valid = torch.tensor([True, True, True, False])
    assert weigh([3, 2, 0, 7], p, 0.5, valid).tolist() == [1, 1, 1, 0]


@pytest.mark.elsewhere
@pytest.mark.parametrize('p', (1.3, 1.7, 2, 5))
def test_the_largest_losses_there_are(p):
    losses = np.array([3e38] * 6 + [1e38, 1e30])
    expected = reference_weights(losses, p, 0.5) * len(losses)
    np.testing.assert_allclose(weigh(losses, p, 0.5), expected, rtol=1e-5)
