import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from batches import draw_batch
from mmseg.registry import MODELS
from references import max_pooling_weights as reference_weights
from torch import nn

from mmseg_imbalance.losses import LogitAdjustedLoss, SoftmaxFocalLoss
from mmseg_imbalance.losses.loss_max_pooling import LossMaxPooling
from mmseg_imbalance.statistics import count_label_maps

PS = (1, 1.05, 1.1, 1.3, 1.7, 2, 4, 16, math.inf)
PRIOR = [0.5, 0.3, 0.15, 0.049, 0.001]


@MODELS.register_module()
class NegativeLossForTests(nn.Module):
    def forward(self, pred, label, ignore_index=255, reduction_override=None):
        return pred[:, 0] - 100


def reference(logits, label, p, ratio, pool, pixel_loss=None):
    """Value and gradient in float64: the optimal weights times the pixel losses."""
    logits = logits.double().requires_grad_()
    losses = F.cross_entropy(logits, label, ignore_index=255, reduction='none')
    if pixel_loss is not None:
        losses = pixel_loss(logits, label)
    groups = zip(losses, label, strict=True) if pool == 'image' else [(losses, label)]
    total, count = 0.0, 0
    for group, mask in groups:
        kept = group[mask != 255]
        count += 1
        if len(kept):
            weights = reference_weights(kept.detach().float().numpy(), p, ratio)
            total = total + (torch.from_numpy(weights) * kept).sum()
    value = total / count
    return value.detach(), torch.autograd.grad(value, logits)[0]


def focal_losses(logits, label):
    cross_entropy = F.cross_entropy(logits, label, ignore_index=255, reduction='none')
    return (1 - torch.exp(-cross_entropy)) ** 2 * cross_entropy


@pytest.mark.parametrize('pool', ('image', 'batch'))
@pytest.mark.parametrize('p', PS)
def test_value_and_gradient_equal_the_reference(p, pool):
    for ratio in (0.01, 0.25, 1):
        logits, label = draw_batch(seed=3, shape=(3, 5, 9, 11))
        label[1] = 255  # contributes 0
        expected, expected_grad = reference(logits, label, p, ratio, pool)
        logits.requires_grad_()
        value = LossMaxPooling(p=p, ratio=ratio, pool=pool)(logits, label)
        (grad,) = torch.autograd.grad(value, logits)
        np.testing.assert_allclose(value.item(), expected.item(), rtol=1e-5)
        scale = expected_grad.abs().max().item()
        torch.testing.assert_close(grad.double(), expected_grad, rtol=1e-5, atol=1e-6 * scale)


def adjusted_losses(logits, label):
    shift = 0.25 * torch.tensor(PRIOR, dtype=logits.dtype).log()[:, None, None]
    return F.cross_entropy(logits + shift, label, ignore_index=255, reduction='none')


@pytest.mark.parametrize(
    ('pixel_loss', 'expected_losses'),
    [
        (dict(type='SoftmaxFocalLoss', gamma=2), focal_losses),
        (dict(type='LogitAdjustedLoss', tau=0.25, prior=PRIOR), adjusted_losses),
    ],
    ids=['focal', 'balanced soft-max'],
)
def test_another_loss_can_be_pooled(pixel_loss, expected_losses):
    logits, label = draw_batch()
    loss = LossMaxPooling(pixel_loss=pixel_loss)
    expected, expected_grad = reference(logits, label, 1.7, 0.25, 'image', expected_losses)
    logits.requires_grad_()
    value = loss(logits, label)
    (grad,) = torch.autograd.grad(value, logits)
    np.testing.assert_allclose(value.item(), expected.item(), rtol=1e-5)
    torch.testing.assert_close(grad.double(), expected_grad, rtol=1e-4, atol=1e-8)


def test_a_module_is_pooled_like_its_config():
    logits, label = draw_batch(0)
    config = LossMaxPooling(pixel_loss=dict(type='SoftmaxFocalLoss', gamma=2.0))
    module = LossMaxPooling(pixel_loss=SoftmaxFocalLoss(gamma=2.0))
    assert torch.equal(config(logits, label), module(logits, label))


def test_statistics_reach_the_pooled_loss():
    logits, label = draw_batch(0)
    classes = [str(c) for c in range(logits.shape[1])]
    statistics = count_label_maps(label, classes)
    given = LogitAdjustedLoss(tau=0.5, prior=statistics.pixel_share.tolist())
    loss = LossMaxPooling(pixel_loss=dict(type='LogitAdjustedLoss', tau=0.5))
    assert loss.needs_statistics
    assert list(loss.use_statistics(statistics)) == ['prior of pixel_loss']
    torch.testing.assert_close(loss(logits, label), LossMaxPooling(pixel_loss=given)(logits, label))


def test_the_cross_entropy_of_mmseg_can_be_pooled():
    batch = draw_batch()
    pooled = LossMaxPooling(pixel_loss=dict(type='CrossEntropyLoss'))(*batch)
    torch.testing.assert_close(pooled, LossMaxPooling()(*batch))


def test_pixel_losses_that_do_not_fit_are_named():
    logits, label = draw_batch()
    sigmoid = LossMaxPooling(pixel_loss=dict(type='CrossEntropyLoss', use_sigmoid=True))
    with pytest.raises(ValueError, match='CrossEntropyLoss returned .* cannot be pooled'):
        sigmoid(logits, label)
    negative = LossMaxPooling(pixel_loss=dict(type='NegativeLossForTests'))
    with pytest.raises(ValueError, match='NegativeLossForTests returned the negative loss'):
        negative(logits, label)


def test_the_limits_are_the_mean_and_the_worst_pixels():
    logits, label = draw_batch()
    losses = F.cross_entropy(logits, label, ignore_index=255, reduction='none')
    means, worst = [], []
    for image, mask in zip(losses, label, strict=True):
        kept = image[mask != 255]
        means.append(kept.mean())
        worst.append(kept.topk(len(kept) // 4).values.mean())
    for loss in (LossMaxPooling(p=math.inf), LossMaxPooling(ratio=1), LossMaxPooling(p=1, ratio=1)):
        torch.testing.assert_close(loss(logits, label), torch.stack(means).mean())
    count = (label[:1] != 255).sum().item()
    exact = LossMaxPooling(p=1, ratio=(count // 4) / count)
    torch.testing.assert_close(exact(logits[:1], label[:1]), worst[0])


def test_pixel_weights_multiply_before_the_pooling():
    logits, label = draw_batch(shape=(1, 5, 6, 7), ignored=0)
    weight = torch.rand(1, 6, 7)
    losses = (weight * F.cross_entropy(logits, label, reduction='none')).flatten()
    expected = reference_weights(losses.numpy(), 1.7, 0.25) @ losses.double().numpy()
    value = LossMaxPooling()(logits, label, weight=weight)
    np.testing.assert_allclose(value.item(), expected, rtol=1e-5)


@pytest.mark.parametrize(
    'kwargs, message',
    (
        (dict(p=0.9), r'p must be in \[1, inf\], got 0.9'),
        (dict(p=math.nan), 'p must be'),
        (dict(ratio=0), r'ratio must be in \(0, 1\], got 0'),
        (dict(ratio=1.5), 'ratio must be'),
        (dict(pool='pixel'), "pool must be one of .* got 'pixel'"),
        (dict(pixel_loss=dict(type='RecallLoss', momentum=0.1)), 'pixel_loss has momentum'),
    ),
)
def test_misuse_is_named_at_construction(kwargs, message):
    with pytest.raises(ValueError, match=message):
        LossMaxPooling(**kwargs)


def test_defaults():
    loss = MODELS.build(dict(type='LossMaxPooling'))
    assert (loss.p, loss.ratio, loss.pool, loss.loss_weight) == (1.7, 0.25, 'image', 1.0)
    assert loss.loss_name == 'loss_lmp' and loss.pixel_loss is None
    assert str(loss) == "LossMaxPooling(p=1.7, ratio=0.25, pool='image')"
