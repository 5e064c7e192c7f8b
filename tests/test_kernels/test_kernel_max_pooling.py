"""The weights of loss max-pooling, against sorting in float64."""

import numpy as np
import pytest
import references
import torch
from kernel_device import DEVICE, ON_A_GPU, marks

from mmseg_imbalance.ops.kernels import max_pooling

pytestmark = marks
LOSSES = {
    'log-normal': lambda x: np.exp(x),
    'ties': lambda x: np.exp(x).round(),
    'forty orders of magnitude': lambda x: 10 ** (7 * x),
    'mostly zero': lambda x: np.maximum(x - 1.5, 0),
    'all equal': lambda x: np.full_like(x, 0.7),
}


# The interpreter takes seconds for each.
PS = (1, 1.00001, 1.05, 1.7, 100, *((1.3, 2, 4) if ON_A_GPU else ()))
GROUPS = 3 if ON_A_GPU else 2


@pytest.mark.parametrize('p', PS)
@pytest.mark.parametrize('kind', LOSSES)
def test_weights_are_the_optimum(kind, p):
    rng = np.random.default_rng(0)
    losses = LOSSES[kind](rng.standard_normal((GROUPS, 1500))).astype(np.float32)
    valid = rng.random(losses.shape) > 0.2
    pixel_loss = torch.from_numpy(losses).to(DEVICE)
    weights = max_pooling.weights(pixel_loss, torch.from_numpy(valid).to(DEVICE), p, 0.25)
    for row, mask, found in zip(losses, valid, weights.double().cpu().numpy(), strict=True):
        expected = mask.sum() * references.max_pooling_weights(row[mask], p, 0.25)
        counts = row[mask] > 0  # a loss of 0 may have any weight: it is 0
        np.testing.assert_allclose(found[mask][counts], expected[counts], rtol=2e-5, atol=1e-7)
        assert not found[~mask].any() and not found[row == 0].any()


@pytest.mark.parametrize('pixels', (1, 2, 7, 1023, 1025))
def test_any_number_of_pixels(pixels):
    losses = torch.rand(2, pixels, generator=torch.Generator().manual_seed(0)).to(DEVICE)
    weights = max_pooling.weights(losses, torch.ones_like(losses, dtype=torch.bool), 1.7, 0.25)
    for row, found in zip(losses.cpu().numpy(), weights.cpu().numpy(), strict=True):
        expected = pixels * references.max_pooling_weights(row, 1.7, 0.25)
        np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize('p', (1, 1.7, 1.05))
def test_no_valid_pixel_and_no_loss(p):
    losses = torch.tensor([[1.0, 2.0, 3.0], [0.0, -0.0, 0.0]], device=DEVICE)
    valid = torch.tensor([[False] * 3, [True] * 3], device=DEVICE)
    assert not max_pooling.weights(losses, valid, p, 0.5).any()


@pytest.mark.parametrize('p', (1, 1.7, 1.05, 4))
def test_what_is_not_a_number_stays(p):
    losses = torch.rand(1, 50).to(DEVICE)
    losses[0, 7] = torch.nan
    weights = max_pooling.weights(losses, torch.ones_like(losses, dtype=torch.bool), p, 0.25)
    assert weights[0, 7].isnan()


def test_the_order_of_programs_does_not_matter():
    losses = torch.rand(2, 5000, generator=torch.Generator().manual_seed(0)).to(DEVICE)
    valid = losses > 0.1
    first = max_pooling.weights(losses, valid, 1.7, 0.25)
    for _ in range(3):
        assert torch.equal(max_pooling.weights(losses, valid, 1.7, 0.25), first)
