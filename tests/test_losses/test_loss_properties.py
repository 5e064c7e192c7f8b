"""What holds for every batch, of the losses and of their gradients."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from batches import draw_batch, value_and_gradient
from hypothesis import given, settings
from hypothesis import strategies as st
from loss_configs import DTYPES, LMP, any_loss, batches, loss_configs, max_pooling, name, recall
from mmseg.registry import MODELS
from references import pixel_losses, pixel_weights

import mmseg_imbalance  # noqa: F401

DOUBLE = (torch.float64,)
FINE = (torch.float32, torch.float64)
every_config = pytest.mark.parametrize('cfg', loss_configs(), ids=name)


def gradient(cfg, logits, label, ignore_index, **kwargs):
    return value_and_gradient(MODELS.build(cfg), logits, label, ignore_index=ignore_index, **kwargs)


def epsilon(tensor):
    return torch.finfo(tensor.dtype).eps


@pytest.mark.elsewhere
@settings(max_examples=200)
@given(batch=batches(ties=True))
def test_value_and_gradient_are_those_of_the_weighted_pixel_losses(batch):
    cfg, logits, label, ignore_index = batch
    value, grad = gradient(*batch)
    working = logits if logits.dtype == torch.float64 else logits.float()
    exact, labels = logits.double().numpy(), label.numpy()
    losses, gradients = pixel_losses(cfg, exact, labels, ignore_index)
    if cfg['type'] == 'LossMaxPooling':  # its weights may jump with the rounding of a loss
        losses = F.cross_entropy(working, label, ignore_index=ignore_index, reduction='none')
        losses = losses.numpy()
    weights = pixel_weights(cfg, losses, exact, labels, ignore_index)
    expected, expected_grad = (weights * losses).sum(), weights[:, None] * gradients
    largest = max(abs(exact).max(), 1) * weights.sum()
    np.testing.assert_allclose(value.item(), expected, rtol=1e-5, atol=1e-6 * largest)
    assert grad.dtype == logits.dtype and grad.isfinite().all()
    tolerance = max(2e-5, epsilon(grad))
    np.testing.assert_allclose(
        grad.double(), expected_grad, rtol=tolerance, atol=tolerance * (weights.max() + 1e-3)
    )


@settings(max_examples=100)
@given(batch=batches(dtypes=DOUBLE, most_classes=40), seed=st.integers(0, 2**32 - 1))
def test_gradient_is_the_slope_of_the_value(batch, seed):
    """By finite differences of the float64 twin, whose weights change with the logits."""
    cfg, logits, label, ignore_index = batch
    labels = label.numpy()

    def twin(x):
        losses, _ = pixel_losses(cfg, x, labels, ignore_index)
        return (pixel_weights(cfg, losses, x, labels, ignore_index) * losses).sum()

    _, grad = gradient(*batch)
    g = torch.Generator().manual_seed(seed)
    direction = torch.randn(logits.shape, generator=g, dtype=torch.float64)
    step = 1e-5 * direction.numpy()
    slope = (twin(logits.numpy() + step) - twin(logits.numpy() - step)) / 2e-5
    scale = (grad * direction).abs().sum().item()
    expected = pytest.approx(slope, rel=1e-3, abs=1e-3 * scale + 1e-8)
    assert (grad * direction).sum().item() == expected


@pytest.mark.elsewhere
@every_config
def test_gradcheck_with_the_weights_held(cfg):
    """By PyTorch, for all logits: weights are constants, all else is differentiated."""
    logits, label = draw_batch(shape=(2, 5, 2, 3))
    logits = logits.double().requires_grad_()
    loss, weight = MODELS.build(dict(cfg, loss_weight=0.7)), torch.rand(label.shape).double()
    with torch.no_grad():
        scores = loss.score(logits, label, 255)
        held = loss.weigh(scores._replace(loss=scores.loss * weight), label, label != 255)
    loss.weigh = lambda *args: held
    for reduction in ('mean', 'sum', 'none'):
        assert torch.autograd.gradcheck(
            lambda x, r=reduction: loss(x, label, weight=weight, reduction_override=r), logits
        )


@settings(max_examples=60)
@given(batch=batches(), seed=st.integers(0, 2**32 - 1))
def test_order_of_pixels_and_images_does_not_matter(batch, seed):
    cfg, logits, label, ignore_index = batch
    value, grad = gradient(*batch)
    g = torch.Generator().manual_seed(seed)
    images = torch.randperm(len(label), generator=g)
    pixels = torch.randperm(label[0].numel(), generator=g)

    def shuffle(x):
        return x[images].flatten(-2)[..., pixels].view_as(x)

    other, other_grad = gradient(cfg, shuffle(logits), shuffle(label), ignore_index)
    torch.testing.assert_close(other, value, rtol=2e-6, atol=1e-30)
    tolerance = max(2e-6, epsilon(grad))
    torch.testing.assert_close(other_grad, shuffle(grad), rtol=tolerance, atol=1e-6)


@settings(max_examples=60)
@given(batch=batches(losses=max_pooling))
def test_pooling_per_image_is_the_mean_over_single_images(batch):
    cfg, logits, label, ignore_index = batch
    cfg['pool'] = 'image'
    value, grad = gradient(*batch)
    singles = [
        gradient(cfg, logits[i : i + 1], label[i : i + 1], ignore_index) for i in range(len(label))
    ]
    mean = torch.stack([single for single, _ in singles]).mean()
    torch.testing.assert_close(value, mean, rtol=1e-6, atol=1e-30)
    grads = torch.cat([single.double() for _, single in singles]) / len(label)
    tolerance = max(1e-6, 2 * epsilon(grad))
    torch.testing.assert_close(grad.double(), grads, rtol=tolerance, atol=1e-6)
    alone, _ = gradient(dict(cfg, pool='batch'), logits[:1], label[:1], ignore_index)
    assert torch.equal(alone, singles[0][0])


@settings(max_examples=60)
@given(batch=batches(), factor=st.sampled_from([0.4, 1, 3]), seed=st.integers(0, 2**32 - 1))
def test_reductions_agree(batch, factor, seed):
    cfg, logits, label, ignore_index = batch
    cfg['loss_weight'] = factor
    weight = torch.rand(label.shape, generator=torch.Generator().manual_seed(seed))
    weight[label == ignore_index] = torch.nan

    def compute(cfg=cfg, **kwargs):
        loss = MODELS.build(cfg)
        kwargs = dict(weight=weight, ignore_index=ignore_index) | kwargs
        return loss(logits, label, **kwargs)

    pixels = compute(reduction_override='none')
    assert pixels.shape == label.shape and (pixels >= 0).all()
    assert (pixels[label == ignore_index] == 0).all()
    close = dict(rtol=1e-5, atol=1e-30)
    torch.testing.assert_close(compute(reduction_override='sum'), pixels.sum(), **close)
    torch.testing.assert_close(compute(avg_factor=7), pixels.sum() / 7, **close)
    value = compute()
    divisor = MODELS.build(cfg).weighed_pixels(logits, label, weight, ignore_index).divisor
    divisor = torch.where(divisor == 0, 1, divisor)
    means = pixels.double().reshape(len(divisor), -1).sum(1) / divisor
    torch.testing.assert_close(value.double(), means.mean(), **close)
    torch.testing.assert_close(compute(reduction_override='mean'), value, rtol=0, atol=0)
    unscaled = compute(dict(cfg, loss_weight=1))
    torch.testing.assert_close(value, factor * unscaled, **close)


@settings(max_examples=100)
@given(
    batch=batches(),
    junk=st.sampled_from([math.nan, math.inf, -math.inf, 6e4]),
    share=st.sampled_from([0.3, 1]),
)
def test_what_ignored_pixels_hold_changes_nothing(batch, junk, share):
    cfg, logits, label, ignore_index = batch
    value, grad = gradient(*batch)
    ignored = (label == ignore_index)[:, None].expand_as(logits)
    assert (grad[ignored] == 0).all()
    g = torch.Generator().manual_seed(0)
    junk = torch.where(torch.rand(logits.shape, generator=g) < share, junk, logits)
    other = torch.where(ignored, junk, logits)
    other, other_grad = gradient(cfg, other, label, ignore_index)
    assert torch.equal(other, value) and torch.equal(other_grad, grad)


def kept_for_backward(function, logits) -> list[torch.Tensor]:
    """The tensors of the logits' size that wait for the backward pass."""
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        value = function(logits)
    value.sum().backward()
    size = logits.numel()  # in bytes, for the narrowest type there is
    return [tensor for tensor in kept.values() if tensor.untyped_storage().nbytes() >= size]


@pytest.mark.elsewhere
@settings(max_examples=40)
@given(
    loss=st.integers(40, 300).flatmap(lambda c: st.tuples(st.just(c), any_loss(c))),
    dtype=st.sampled_from(DTYPES),
)
def test_no_more_is_kept_for_the_backward_pass_than_by_cross_entropy(loss, dtype):
    """One tensor of the logits' size: they themselves, in half precision too."""
    num_classes, cfg = loss
    logits, label = draw_batch(shape=(2, num_classes, 6, 7))
    logits = logits.to(dtype).requires_grad_()
    loss = MODELS.build(cfg)

    def plain(x):
        working = torch.promote_types(dtype, torch.float32)
        return F.cross_entropy(x.to(working), label, ignore_index=255)

    kept = kept_for_backward(lambda x: loss(x, label), logits)
    (expected,) = kept_for_backward(plain, logits)
    assert [t.data_ptr() for t in kept] == [logits.data_ptr()]
    assert kept[0].nbytes <= expected.nbytes
    left = [x for x in vars(loss).values() if torch.is_tensor(x) and x.numel() > num_classes]
    assert not left


class TestLossMaxPooling:
    @settings(max_examples=100)
    @given(batch=batches(losses=max_pooling, dtypes=FINE))
    def test_lies_between_the_mean_and_its_bounds(self, batch):
        cfg, logits, label, ignore_index = batch
        pixels = MODELS.build(dict(cfg, p=math.inf))(
            logits, label, ignore_index=ignore_index, reduction_override='none'
        )
        groups = zip(pixels, label, strict=True) if cfg['pool'] == 'image' else [(pixels, label)]
        groups = [losses[mask != ignore_index].double() for losses, mask in groups]
        mean = sum(g.mean().item() if len(g) else 0 for g in groups) / len(groups)
        largest = sum(g.max().item() if len(g) else 0 for g in groups) / len(groups)
        n = max(len(g) for g in groups)
        amplification = (n / max(1, cfg['ratio'] * n)) ** (1 / cfg['p']) if n else 1
        value = gradient(*batch)[0].item()
        rounding = 1e-5 * largest
        assert mean - rounding <= value <= min(amplification * mean, largest) + rounding

    @settings(max_examples=60)
    @given(batch=batches(losses=max_pooling, dtypes=FINE), power=st.integers(-8, 8))
    def test_scales_with_the_pixel_losses(self, batch, power):
        cfg, logits, label, ignore_index = batch
        weight = torch.full(label.shape, 2.0**power)
        scaled, _ = gradient(*batch, weight=weight)
        expected = 2.0**power * gradient(*batch)[0]
        torch.testing.assert_close(scaled, expected, rtol=2e-6, atol=1e-30)

    @settings(max_examples=60)
    @given(batch=batches(max_pooling, FINE), ratio=st.floats(0.01, 1), p=st.floats(1, 20))
    def test_shrinks_towards_the_mean_as_p_and_ratio_grow(self, batch, ratio, p):
        cfg, logits, label, ignore_index = batch
        value, _ = gradient(*batch)
        wider = dict(cfg, ratio=max(ratio, cfg['ratio']), p=max(p, cfg['p']))
        assert gradient(wider, logits, label, ignore_index)[0] <= value * (1 + 1e-5)


class TestRecallLoss:
    @settings(max_examples=60)
    @given(batch=batches(losses=recall, dtypes=FINE))
    def test_multiplied_out_it_is_the_missed_pixels_times_each_class_s_mean(self, batch):
        """N L = Σ FN_c · mean cross-entropy of class c."""
        cfg, logits, label, ignore_index = batch
        cfg = dict(cfg, floor=0, normalizer='valid', class_weight=None)
        pred = logits.argmax(1)
        pixels = F.cross_entropy(logits, label, ignore_index=ignore_index, reduction='none')
        total = 0.0
        for c in label[label != ignore_index].unique():
            missed = ((label == c) & (pred != c)).sum()
            total += (missed * pixels[label == c].double().mean()).item()
        expected = total / max(1, (label != ignore_index).sum().item())
        value = gradient(cfg, logits, label, ignore_index)[0].item()
        assert value == pytest.approx(expected, rel=1e-5, abs=1e-12)

    @settings(max_examples=60)
    @given(batch=batches(losses=recall))
    def test_pixels_weigh_no_more_than_in_cross_entropy(self, batch):
        cfg, logits, label, ignore_index = batch
        cfg['class_weight'] = None
        kwargs = dict(ignore_index=ignore_index, reduction_override='none')
        pixels = MODELS.build(cfg)(logits, label, **kwargs)
        plain = MODELS.build(dict(LMP, p=math.inf))(logits, label, **kwargs)
        assert (pixels <= plain * (1 + 1e-6)).all()
        if cfg['normalizer'] == 'weight' and (label != ignore_index).any():  # a weighted mean
            value = gradient(cfg, logits, label, ignore_index)[0]
            assert value <= plain.max() * (1 + 1e-6)

    @settings(max_examples=60)
    @given(data=st.data(), momentum=st.floats(0.01, 1), num_classes=st.integers(2, 300))
    def test_running_counts_over_many_batches(self, data, momentum, num_classes):
        loss = MODELS.build(dict(type='RecallLoss', momentum=momentum))
        expected = np.zeros((2, num_classes))
        for seed in range(data.draw(st.integers(1, 6))):
            g = torch.Generator().manual_seed(seed)
            few = data.draw(st.integers(1, num_classes))
            label = torch.randint(0, few, (2, 4, 5), generator=g)
            label[torch.rand(label.shape, generator=g) < data.draw(st.floats(0, 1))] = 1000
            logits = torch.randn((2, num_classes, 4, 5), generator=g)
            logits.scatter_add_(1, (label % num_classes)[:, None], torch.ones(2, 1, 4, 5))
            loss(logits, label, ignore_index=1000)
            labels, hit = label.numpy(), (logits.argmax(1) == label).numpy()
            for c in np.unique(labels[labels != 1000]):
                counts = np.array([(labels == c).sum(), hit[labels == c].sum()])
                share = momentum if expected[0, c] else 1
                expected[:, c] += share * (counts - expected[:, c])
        np.testing.assert_allclose(loss.running_counts.numpy(), expected, rtol=1e-12)
