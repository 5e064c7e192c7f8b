import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from batches import draw_batch

from mmseg_imbalance.losses.softmax_focal_loss import SoftmaxFocalLoss


@pytest.mark.parametrize('gamma', (0, 0.5, 2, 5))
def test_equals_the_formula(gamma):
    logits, label = draw_batch()
    total, count = 0.0, 0
    for image, labels in zip(logits.double().numpy(), label.numpy(), strict=True):
        for row, column in np.argwhere(labels != 255):
            z = image[:, row, column]
            p = np.exp(z[labels[row, column]]) / np.exp(z).sum()
            total -= (1 - p) ** gamma * np.log(p)
            count += 1
    value = SoftmaxFocalLoss(gamma=gamma)(logits, label)
    np.testing.assert_allclose(value.item(), total / count, rtol=1e-5)


def test_gradient_is_that_of_the_formula():
    logits, label = draw_batch()
    logits = logits.double().requires_grad_()
    (grad,) = torch.autograd.grad(SoftmaxFocalLoss(gamma=2)(logits, label), logits)
    p = logits.softmax(1).gather(1, label.clamp(max=4)[:, None])[:, 0]
    losses = torch.where(label == 255, 0.0, -((1 - p) ** 2) * p.log())
    (expected,) = torch.autograd.grad(losses.sum() / (label != 255).sum(), logits)
    torch.testing.assert_close(grad, expected)


@pytest.mark.parametrize('gamma', (0.5, 1, 2))
def test_certain_pixels_have_finite_gradients(gamma):
    logits = torch.tensor([200.0, -200.0]).view(1, 2, 1, 1).requires_grad_()
    value = SoftmaxFocalLoss(gamma=gamma)(logits, torch.zeros(1, 1, 1, dtype=torch.int64))
    value.backward()
    assert value == 0 and (logits.grad == 0).all()


def test_without_gamma_it_is_cross_entropy():
    logits, label = draw_batch()
    expected = F.cross_entropy(logits, label, ignore_index=255)
    torch.testing.assert_close(SoftmaxFocalLoss(gamma=0)(logits, label), expected)


def test_misuse_is_named():
    for gamma in (-1, math.inf):
        with pytest.raises(ValueError, match=f'gamma must be a number ≥ 0, got {gamma}'):
            SoftmaxFocalLoss(gamma=gamma)
