import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from batches import draw_batch
from references import logit_adjusted_loss as reference
from tiny_statistics import make_statistics

from mmseg_imbalance.losses.logit_adjusted_loss import LogitAdjustedLoss
from mmseg_imbalance.losses.loss_max_pooling import LossMaxPooling

PRIOR = [0.5, 0.3, 0.15, 0.049, 0.001]


@pytest.mark.parametrize('tau', (0, 0.5, 1, 2))
def test_equals_the_formula(tau):
    for seed in range(3):
        logits, label = draw_batch(seed)
        value = LogitAdjustedLoss(tau=tau, prior=PRIOR)(logits, label).item()
        np.testing.assert_allclose(value, reference(logits, label, PRIOR, tau), rtol=1e-5)


def test_tau_1_is_the_balanced_soft_max_by_pixel_counts():
    logits, label = draw_batch()
    logits = logits.double().requires_grad_()
    counts = torch.tensor([1000, 300, 20, 4, 1]).double()
    balanced = counts.view(-1, 1, 1) * logits.exp()
    p = (balanced / balanced.sum(1, keepdim=True)).gather(1, label.clamp(max=4)[:, None])[:, 0]
    expected = -p.log()[label != 255].mean()
    value = LogitAdjustedLoss(prior=counts.tolist())(logits, label)
    assert value.dtype == torch.float64
    torch.testing.assert_close(value, expected, rtol=1e-6, atol=0)
    (grad,), (expected_grad,) = (torch.autograd.grad(x, logits) for x in (value, expected))
    torch.testing.assert_close(grad, expected_grad, rtol=1e-5, atol=1e-9)


def test_without_tau_or_with_equal_classes_it_is_cross_entropy():
    logits, label = draw_batch()
    expected = F.cross_entropy(logits, label, ignore_index=255)
    for kwargs in (dict(tau=0, prior=PRIOR), dict(prior=[7] * 5)):
        torch.testing.assert_close(LogitAdjustedLoss(**kwargs)(logits, label), expected)


def test_extreme_priors_are_finite():
    prior = [1e300, 1.0, 1e9, 1e-300, 5e-324]
    logits, label = draw_batch()
    logits.requires_grad_()
    value = LogitAdjustedLoss(prior=prior)(logits, label)
    value.backward()
    assert value.isfinite() and logits.grad.isfinite().all()
    assert LogitAdjustedLoss(prior=[1.7e308] * 5).log_prior.exp().tolist() == pytest.approx(
        [0.2] * 5
    )
    log_prior = LogitAdjustedLoss(prior=prior).log_prior
    expected = [math.log(share) - math.log(1e300) for share in prior]
    np.testing.assert_allclose(log_prior.numpy(), expected, rtol=1e-6, atol=1e-6)


def test_what_it_learns_does_not_know_how_frequent_the_classes_are():
    """Pixels that all look alike: cross-entropy learns the shares, this loss none."""
    label = torch.tensor([0] * 90 + [1] * 10).view(1, 10, 10)
    learned = {}
    for name, loss in {
        'plain': LogitAdjustedLoss(tau=0, prior=[90, 10]),
        'adjusted': LogitAdjustedLoss(prior=[90, 10]),
    }.items():
        bias = torch.zeros(2, requires_grad=True)
        optimizer = torch.optim.LBFGS([bias], max_iter=50)

        def closure(bias=bias, loss=loss, optimizer=optimizer):
            optimizer.zero_grad()
            value = loss(bias.view(1, 2, 1, 1).expand(1, 2, 10, 10), label)
            value.backward()
            return value

        optimizer.step(closure)
        learned[name] = (bias[0] - bias[1]).item()
    assert learned['plain'] == pytest.approx(math.log(9), abs=1e-3)
    assert learned['adjusted'] == pytest.approx(0, abs=1e-3)


def test_prior_from_a_file(tmp_path):
    np.save(tmp_path / 'prior.npy', PRIOR)
    (tmp_path / 'prior.json').write_text(json.dumps(PRIOR))
    (tmp_path / 'prior.yaml').write_text(''.join(f'- {share}\n' for share in PRIOR))
    batch = draw_batch()
    expected = LogitAdjustedLoss(prior=PRIOR)(*batch)
    for name in ('prior.npy', 'prior.json', 'prior.yaml'):
        loss = LogitAdjustedLoss(prior=str(tmp_path / name))
        assert not loss.needs_statistics
        assert torch.equal(loss(*batch), expected)


def test_prior_from_statistics():
    """Of all pixels together; a class without one counts as one pixel."""
    statistics = make_statistics([[40, 0, 0, 0, 1], [10, 10, 0, 30, 0]])
    loss, batch = LogitAdjustedLoss(num_classes=5), draw_batch()
    assert loss.needs_statistics
    with pytest.raises(RuntimeError, match='prior is computed from class statistics.*Hook'):
        loss(*batch)
    computed = loss.use_statistics(statistics)
    counts = [50, 10, 1, 30, 1]
    np.testing.assert_allclose(computed['prior'], np.divide(counts, 92))
    expected = reference(*batch, counts, 1)
    np.testing.assert_allclose(loss(*batch).item(), expected, rtol=1e-5)
    assert not loss.state_dict()  # configuration, like class weights


def test_statistics_supply_prior_and_class_weights():
    statistics = make_statistics([[40, 1, 2, 3, 1]])
    both = LogitAdjustedLoss(class_weight='inverse_frequency')
    computed = both.use_statistics(statistics)
    assert list(computed) == ['class_weight (inverse_frequency)', 'prior']
    weights = LogitAdjustedLoss(prior=PRIOR, class_weight='inverse_frequency')
    assert weights.needs_statistics
    assert list(weights.use_statistics(statistics)) == ['class_weight (inverse_frequency)']
    np.testing.assert_allclose(weights.log_prior.exp().numpy(), PRIOR, rtol=1e-6)
    batch = draw_batch()
    expected = LogitAdjustedLoss(prior=[40, 1, 2, 3, 1], class_weight=both.class_weight.tolist())
    torch.testing.assert_close(both(*batch), expected(*batch))


def test_a_given_prior_is_not_replaced():
    loss = LogitAdjustedLoss(prior=PRIOR)
    assert loss.use_statistics(make_statistics([[40, 1, 2, 3, 1]])) == {}
    np.testing.assert_allclose(loss.log_prior.exp().numpy(), PRIOR, rtol=1e-6)


def test_can_be_max_pooled():
    logits, label = draw_batch()
    pooled = LossMaxPooling(
        p=1.0, ratio=0.01, pool='batch', pixel_loss=dict(type='LogitAdjustedLoss', prior=PRIOR)
    )
    pixels = LogitAdjustedLoss(prior=PRIOR)(logits, label, reduction_override='none')
    top = pixels.flatten().sort(descending=True).values
    m = 0.01 * int((label != 255).sum())  # 1 pixel and a part of the next
    expected = (top[0] + (m - 1) * top[1]) / m
    torch.testing.assert_close(pooled(logits, label), expected)


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    (
        (dict(tau=-1, prior=PRIOR), 'tau must be finite and ≥ 0, got -1'),
        (dict(tau=math.inf, prior=PRIOR), 'tau must be finite and ≥ 0, got inf'),
        (dict(tau=math.nan, prior=PRIOR), 'tau must be finite and ≥ 0, got nan'),
        (dict(prior=[0.5, 0.5, 0]), 'prior: that of class 2 is 0.*small share'),
        (dict(prior=[0.5, -0.5]), 'prior: that of class 1 is -0.5, not finite and ≥ 0'),
        (dict(prior='median_frequency'), 'prior file median_frequency must be one of .npy'),
        (dict(prior='gone.npy'), 'prior file gone.npy does not exist'),
        (dict(prior=PRIOR, num_classes=4), 'prior has 5 entries for 4 classes'),
    ),
)
def test_misuse_is_named(kwargs, message):
    with pytest.raises(ValueError, match=message):
        LogitAdjustedLoss(**kwargs)


def test_prior_of_other_classes_is_named():
    with pytest.raises(ValueError, match='prior has 2 entries for 5 classes'):
        LogitAdjustedLoss(prior=[1, 2])(*draw_batch())
    with pytest.raises(ValueError, match='prior has 2 entries for 5 classes'):
        LogitAdjustedLoss(num_classes=5).use_statistics(make_statistics([[1, 2]]))
