import numpy as np
import pytest
import torch
from batches import draw_batch

from mmseg_imbalance.losses import FocalTverskyLoss, LovaszSoftmaxLoss

OPTIONS = dict(alpha=0.6, beta=0.3, gamma=1.4, smooth=0.5)


def twin(logits, label, alpha, beta, gamma, smooth, classes):
    """By the formula, class by class."""
    p = np.exp(logits.double().numpy())
    p = np.moveaxis(p / p.sum(1, keepdims=True), 1, -1)[label.numpy() != 255]
    label = label.numpy()[label.numpy() != 255]
    losses = []
    for c in classes:
        own = label == c
        tp, fn, fp = p[own, c].sum(), (1 - p[own, c]).sum(), p[~own, c].sum()
        index = (tp + smooth) / (tp + alpha * fn + beta * fp + smooth)
        losses.append((1 - index) ** gamma)
    return np.mean(losses)


@pytest.mark.parametrize('gamma', (0.75, 1, 2))
def test_equals_the_formula(gamma):
    logits, label = draw_batch()
    label[label == 2] = 1
    options = dict(OPTIONS, gamma=gamma)
    for classes, listed in (('present', [0, 1, 3, 4]), ('all', range(5)), ([4, 2], [2, 4])):
        value = FocalTverskyLoss(**options, classes=classes)(logits, label).item()
        assert value == pytest.approx(twin(logits, label, **options, classes=listed), rel=1e-5)


@pytest.mark.parametrize('gamma', (0.75, 2))
def test_gradcheck(gamma):
    logits, label = draw_batch(shape=(2, 5, 2, 3))
    loss = FocalTverskyLoss(**dict(OPTIONS, gamma=gamma), class_weight=[1.0, 2, 0, 3, 1])
    logits = logits.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, label), logits)


def test_alpha_is_for_missed_pixels_and_beta_for_false_ones():
    logits = torch.tensor([[0.0, 0, 50, 50], [50, 50, 0, 0]]).view(1, 2, 1, 4)
    loss = FocalTverskyLoss(alpha=0.9, beta=0.2, gamma=1, classes=[1], smooth=0)
    one_missed = loss(logits, torch.tensor([[[1, 1, 1, 0]]]))
    assert one_missed.item() == pytest.approx(0.9 / 2.9)
    one_false = loss(logits, torch.tensor([[[1, 0, 0, 0]]]))
    assert one_false.item() == pytest.approx(0.2 / 1.2)


def test_of_certain_predictions_with_both_factors_1_it_is_1_minus_the_iou():
    _, label = draw_batch()
    logits = 100 * torch.eye(5)[draw_batch(1)[0].argmax(1)].movedim(-1, 1)
    value = FocalTverskyLoss(alpha=1, beta=1, gamma=1, smooth=0)(logits, label)
    torch.testing.assert_close(value, LovaszSoftmaxLoss()(logits, label), rtol=1e-4, atol=0)


def test_misuse_is_named():
    for name in ('alpha', 'beta', 'smooth'):
        with pytest.raises(ValueError, match=f'{name} must be finite and ≥ 0, got -1'):
            FocalTverskyLoss(**{name: -1})
    with pytest.raises(ValueError, match='gamma must be finite and > 0, got 0'):
        FocalTverskyLoss(gamma=0)
