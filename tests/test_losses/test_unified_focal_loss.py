import numpy as np
import pytest
import torch
from batches import draw_batch

from mmseg_imbalance.losses import FocalTverskyLoss, SoftmaxFocalLoss, UnifiedFocalLoss

OPTIONS = dict(balance=0.3, delta=0.7, gamma=0.2)
rare_or_not = pytest.mark.parametrize('rare', (None, [4], [1, 3]))


def twin(logits, label, balance, delta, gamma, rare, weight=(1,) * 5):
    """By the formulas, pixel by pixel and class by class."""
    p = np.exp(logits.double().numpy())
    p = np.moveaxis(p / p.sum(1, keepdims=True), 1, -1)[label.numpy() != 255]
    label = label.numpy()[label.numpy() != 255]
    focal, tversky = [], []
    for pixel, y in zip(p, label, strict=True):
        exponent, factor = 1 - gamma, delta
        if rare is not None:
            exponent, factor = (0, delta) if y in rare else (gamma, 1 - delta)
        focal.append(-factor * weight[y] * (1 - pixel[y]) ** exponent * np.log(pixel[y]))
    for c in set(label.tolist()):
        own = label == c
        tp, fn, fp = p[own, c].sum(), (1 - p[own, c]).sum(), p[~own, c].sum()
        index = tp / (tp + delta * fn + (1 - delta) * fp)
        exponent = gamma
        if rare is not None:
            exponent = 1 - gamma if c in rare else 1
        tversky.append(weight[c] * (1 - index) ** exponent)
    return balance * np.mean(focal) + (1 - balance) * np.mean(tversky)


@rare_or_not
def test_equals_the_formula(rare):
    weight = [1.0, 2, 0.5, 3, 1]
    for seed in range(2):
        logits, label = draw_batch(seed)
        value = UnifiedFocalLoss(**OPTIONS, rare=rare)(logits, label).item()
        assert value == pytest.approx(twin(logits, label, **OPTIONS, rare=rare), rel=1e-5)
        value = UnifiedFocalLoss(**OPTIONS, rare=rare, class_weight=weight)(logits, label).item()
        expected = twin(logits, label, **OPTIONS, rare=rare, weight=weight)
        assert value == pytest.approx(expected, rel=1e-5)


@rare_or_not
def test_gradcheck(rare):
    logits, label = draw_batch(shape=(2, 5, 2, 3))
    logits, loss = logits.double().requires_grad_(), UnifiedFocalLoss(**OPTIONS, rare=rare)
    assert torch.autograd.gradcheck(lambda x: loss(x, label), logits)


def test_its_ends_are_the_losses_that_it_unifies():
    batch = draw_batch()
    focal = UnifiedFocalLoss(balance=1, delta=0.6, gamma=0.3)(*batch)
    torch.testing.assert_close(focal, 0.6 * SoftmaxFocalLoss(gamma=0.7)(*batch))
    tversky = UnifiedFocalLoss(balance=0, delta=0.6, gamma=0.3)(*batch)
    expected = FocalTverskyLoss(alpha=0.6, beta=0.4, gamma=0.3, smooth=0)(*batch)
    torch.testing.assert_close(tversky, expected)


def test_rare_pixels_do_not_fade():
    """Of two pixels that are as right, the rare one has the larger share of the loss."""
    logits, label = torch.zeros(1, 2, 1, 2), torch.tensor([[[0, 1]]])
    logits[0, 0, 0, 0] = logits[0, 1, 0, 1] = 5
    logits.requires_grad_()
    UnifiedFocalLoss(balance=1, delta=0.5, rare=[1])(logits, label).backward()
    common, rare = logits.grad[0, :, 0].abs().sum(0)
    assert rare > 5 * common


def test_misuse_is_named():
    for name in ('balance', 'delta', 'gamma'):
        with pytest.raises(ValueError, match=rf'{name} must be in \[0, 1\], got 1.5'):
            UnifiedFocalLoss(**{name: 1.5})
    with pytest.raises(ValueError, match='rare has 5, but classes are 0 … 4'):
        UnifiedFocalLoss(rare=[5], num_classes=5)
    with pytest.raises(ValueError, match='rare has 5, but classes are 0 … 4'):
        UnifiedFocalLoss(rare=[5])(*draw_batch())
    with pytest.raises(ValueError, match=r'rare must be a list of class indices, got \[1.0\]'):
        UnifiedFocalLoss(rare=[1.0])


@pytest.mark.parametrize(('gamma', 'rare'), [(0, None), (1, [2])])
def test_an_exponent_of_0_is_refused(gamma, rare):
    with pytest.raises(ValueError, match=f'gamma={gamma} gives the Tversky loss of .* exponent 0'):
        UnifiedFocalLoss(gamma=gamma, rare=rare)
