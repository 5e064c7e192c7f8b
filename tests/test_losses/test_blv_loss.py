import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from batches import NoHostSync, draw_batch, value_and_gradient
from tiny_statistics import make_statistics

from mmseg_imbalance.losses import BLVLoss
from mmseg_imbalance.losses.upsampled_logits import UpsampledLogits

PRIOR = [0.5, 0.3, 0.15, 0.049, 0.001]


def seeded(loss, logits, label, seed=0):
    """Value and gradient with the noise of a seed."""
    torch.manual_seed(seed)
    return value_and_gradient(loss, logits, label)


def twin(logits, label, sigma, seed=0):
    """Mean over the pixels of the loss of logits that get noise class by class."""
    torch.manual_seed(seed)
    noise = torch.randn(logits.shape, dtype=logits.dtype).double().numpy() * sigma
    rarest = math.log(sum(PRIOR) / min(PRIOR))
    losses = []
    for image, row, column in np.argwhere(label.numpy() != 255):
        z = logits.double().numpy()[image, :, row, column].copy()
        for c in range(5):
            z[c] += (
                math.log(sum(PRIOR) / PRIOR[c]) / rarest * min(abs(noise[image, c, row, column]), 1)
            )
        losses.append(np.log(np.exp(z).sum()) - z[label[image, row, column]])
    return np.mean(losses)


@pytest.mark.parametrize('sigma', (0.3, 6))
def test_equals_the_formula(sigma):
    for seed in range(2):
        logits, label = draw_batch(seed)
        value, _ = seeded(BLVLoss(sigma, PRIOR), logits, label, seed)
        assert value.item() == pytest.approx(twin(logits, label, sigma, seed), rel=1e-5)


def test_gradcheck_with_the_same_noise():
    logits, label = draw_batch(shape=(2, 5, 2, 3))
    loss = BLVLoss(1.0, PRIOR)

    def with_noise(x):
        torch.manual_seed(0)
        return loss(x, label)

    assert torch.autograd.gradcheck(with_noise, logits.double().requires_grad_())


def test_repeats_with_the_seed_of_pytorch():
    logits, label = draw_batch()
    loss = BLVLoss(prior=PRIOR)
    first, again, other = (seeded(loss, logits, label, seed)[0] for seed in (0, 0, 1))
    assert first == again != other


def test_evaluation_and_sigma_0_are_cross_entropy():
    logits, label = draw_batch()
    expected = F.cross_entropy(logits, label, ignore_index=255)
    torch.testing.assert_close(BLVLoss(prior=PRIOR).eval()(logits, label), expected)
    torch.testing.assert_close(BLVLoss(sigma=0, prior=PRIOR)(logits, label), expected)


def test_noise_is_positive_bounded_and_the_larger_the_rarer_the_class_is():
    logits = torch.zeros(2, 5, 40, 50)
    noise = BLVLoss(prior=PRIOR)._noisy(logits)
    assert noise.min() >= 0 and noise.max() == 1
    means = noise.mean((0, 2, 3))
    assert (means.diff() > 0).all() and means[-1] > 0.8
    equal = BLVLoss(prior=[3] * 5)._noisy(logits).mean((0, 2, 3))
    torch.testing.assert_close(equal, means[-1:].expand(5), rtol=0.05, atol=0)


def test_ignored_pixels_do_not_matter():
    logits, label = draw_batch()
    loss = BLVLoss(prior=PRIOR)
    value, grad = seeded(loss, logits, label)
    logits[(label == 255)[:, None].expand_as(logits)] = torch.nan
    other, other_grad = seeded(loss, logits, label)
    assert torch.equal(value, other) and torch.equal(grad, other_grad)
    value, grad = seeded(loss, logits, label.fill_(255))
    assert value == 0 and (grad == 0).all()


def test_statistics_give_the_prior():
    logits, label = draw_batch()
    loss = BLVLoss()
    with pytest.raises(RuntimeError, match='prior .* have not been counted yet'):
        loss(logits, label)
    assert loss.needs_statistics
    loss.use_statistics(make_statistics([[500, 300, 150, 49, 1]]))
    value, _ = seeded(loss, logits, label)
    assert value == seeded(BLVLoss(prior=PRIOR), logits, label)[0]


def test_only_the_noisy_logits_are_kept():
    logits, label = draw_batch()
    logits = (2 * logits).requires_grad_().half()
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        BLVLoss(prior=PRIOR)(logits, label).backward()
    large = [tensor for tensor in kept.values() if tensor.shape == logits.shape]
    assert len(large) == 1 and large[0].dtype == torch.float32


def test_upsampled_logits_and_no_host_sync():
    low, label = draw_batch(shape=(2, 5, 5, 6))[0], draw_batch()[1]
    logits = UpsampledLogits(low, label.shape[1:], align_corners=False)
    value, _ = seeded(BLVLoss(prior=PRIOR), logits.resized(), label)
    torch.manual_seed(0)
    torch.testing.assert_close(BLVLoss(prior=PRIOR)(logits, label), value)
    loss = BLVLoss(prior=PRIOR, check_labels=False).to('meta')
    with NoHostSync():
        loss(logits.resized().to('meta').requires_grad_(), label.to('meta')).backward()


def test_misuse_is_named():
    with pytest.raises(ValueError, match='sigma must be finite and ≥ 0, got -1'):
        BLVLoss(sigma=-1, prior=PRIOR)
