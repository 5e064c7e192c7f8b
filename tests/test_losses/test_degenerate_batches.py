"""Batches at the edge: all losses stay finite where mathematics says so, and hide nothing else."""

import math

import pytest
import torch
from batches import value_and_gradient
from loss_configs import LMP, loss_configs, name, region_configs
from mmseg.registry import MODELS

import mmseg_imbalance  # noqa: F401


def cases(configs):
    return [
        pytest.param(cfg, num_classes, id=f'{name(cfg)}-{num_classes} classes')
        for num_classes in (2, 5)
        for cfg in configs(num_classes)
    ]


PIXELS, REGIONS = cases(loss_configs), cases(region_configs)
every_loss = pytest.mark.parametrize(('cfg', 'num_classes'), PIXELS + REGIONS)
# Losses of regions are bounded where those of pixels are not, and take no weights of pixels.
every_pixel_loss = pytest.mark.parametrize(('cfg', 'num_classes'), PIXELS)
every_dtype = pytest.mark.parametrize('dtype', (torch.float16, torch.float32), ids=str)
every_margin = pytest.mark.parametrize(
    ('dtype', 'margin'),
    [(torch.float16, 1e4), (torch.float32, 1e4), (torch.bfloat16, 20.0)],
    ids=str,
)


def draw(num_classes, shape=(2, 6, 7)):
    g = torch.Generator().manual_seed(num_classes)
    logits = 2 * torch.randn((shape[0], num_classes, *shape[1:]), generator=g)
    label = torch.randint(0, num_classes, shape, generator=g)
    label[torch.rand(shape, generator=g) < 0.2] = 255
    return logits, label


def toward(label, num_classes, margin):
    """Logits (N, C, H, W) that are ± ``margin``: + for the label."""
    right = torch.arange(num_classes)[:, None, None] == label[:, None]
    return torch.where(right, margin, -margin)


def finite_gradient(cfg, logits, label):
    value, grad = value_and_gradient(MODELS.build(cfg), logits, label)
    assert value.isfinite() and value >= 0 and grad.isfinite().all()
    return value, grad


@every_loss
def test_nothing_valid(cfg, num_classes):
    logits, label = draw(num_classes)
    value, grad = finite_gradient(cfg, logits, label.fill_(255))
    assert value == 0 and (grad == 0).all()


@every_loss
def test_one_valid_pixel(cfg, num_classes):
    logits, label = draw(num_classes)
    label.fill_(255)[1, 2, 3] = 1
    value, grad = finite_gradient(cfg, logits, label)
    assert value > 0 and (grad[1, :, 2, 3] != 0).all()
    grad[1, :, 2, 3] = 0
    assert (grad == 0).all()


@every_loss
@pytest.mark.parametrize('shape', [(0, 4, 4), (2, 0, 4), (2, 4, 0), (0, 0, 0)], ids=str)
def test_zero_size(cfg, num_classes, shape):
    value, grad = finite_gradient(cfg, *draw(num_classes, shape))
    assert value == 0 and grad.shape == (shape[0], num_classes, *shape[1:])


@every_loss
@pytest.mark.parametrize('images', (1, 3))
def test_maps_of_one_pixel(cfg, num_classes, images):
    logits, _ = draw(num_classes, (images, 1, 1))
    value, grad = finite_gradient(cfg, logits, logits.argmin(1))  # wrong
    assert value > 0 and (grad != 0).any()


@every_loss
def test_one_class(cfg, num_classes):
    logits, label = draw(num_classes)
    value, grad = finite_gradient(cfg, logits, label.where(label == 255, 0))
    assert value > 0 and (grad != 0).any()


@every_loss
@every_margin
def test_all_right(cfg, num_classes, dtype, margin):
    _, label = draw(num_classes)
    value, grad = finite_gradient(cfg, toward(label, num_classes, margin).to(dtype), label)
    assert value < 1e-6 and grad.abs().max() < 1e-6


@pytest.mark.parametrize('tiny', (5e-324, 1e-45, 1e-38, 1e-30))
def test_all_right_where_float32_may_not_hold_the_weights(tiny):
    _, label = draw(5)
    weighted = dict(type='WeightedCrossEntropyLoss', class_weight=[tiny] * 5)
    for cfg in (dict(type='RecallLoss', floor=tiny), weighted):
        assert finite_gradient(cfg, toward(label, 5, 20.0), label)[0] < 1e-6


@every_pixel_loss
@every_margin
def test_all_wrong(cfg, num_classes, dtype, margin):
    """Every pixel's loss is twice the margin and the logarithm of the other classes; or close."""
    _, label = draw(num_classes)
    logits = toward(label, num_classes, -margin).to(dtype)
    value, grad = finite_gradient(cfg, logits, label)
    if not {'class_weight', 'prior'} & (cfg | cfg.get('pixel_loss', {})).keys():
        expected = 2 * logits.max().item() + math.log(num_classes - 1)
        assert value.item() == pytest.approx(expected, rel=1e-5)
    assert value > margin / 10
    wrong = (label != 255)[:, None] & (logits < 0)
    assert (grad[wrong] < 0).all() and (grad[(label == 255)[:, None].expand_as(grad)] == 0).all()


@every_loss
@every_dtype
def test_huge_logits(cfg, num_classes, dtype):
    logits, label = draw(num_classes)
    value, grad = finite_gradient(cfg, (1e4 * logits.sign()).to(dtype), label)
    assert value > 0 and grad.dtype == dtype


@every_dtype
@pytest.mark.parametrize('cfg', loss_configs() + region_configs(), ids=name)
def test_classes_that_are_masked_with_minus_infinity(cfg, dtype):
    """As if they were not there."""
    logits, label = draw(5)
    label[label == 3] = 1
    masked, absent = logits.to(dtype), logits.to(dtype)
    masked[:, 3], absent[:, 3] = -math.inf, -1e4
    value, grad = finite_gradient(cfg, masked, label)
    assert value > 0 and (grad[:, 3] == 0).all() and (grad[:, 0] != 0).any()
    other, other_grad = finite_gradient(cfg, absent, label)
    assert torch.equal(value, other) and torch.equal(grad, other_grad)


@every_pixel_loss
def test_labels_that_are_masked_with_minus_infinity(cfg, num_classes):
    logits, label = draw(num_classes)
    label[1, 2, 3], logits[1, 1, 2, 3] = 1, -math.inf
    assert value_and_gradient(MODELS.build(cfg), logits, label)[0] == math.inf


@every_loss
@pytest.mark.parametrize('bad', (math.nan, math.inf))
def test_one_bad_pixel_is_visible(cfg, num_classes, bad):
    logits, label = draw(num_classes)
    label[0, 0, 0], logits[0, 0, 0, 0] = num_classes - 1, bad
    assert value_and_gradient(MODELS.build(cfg), logits, label)[0].isnan()


@every_loss
@pytest.mark.parametrize('image', (0, 1))
def test_one_bad_pixel_among_right_ones_is_visible(cfg, num_classes, image):
    """Where nothing else has a loss, and a class may weigh nothing."""
    label = torch.zeros(2, 6, 7, dtype=torch.int64)
    logits = toward(label, num_classes, 1e4)
    logits[image, :, 5, 6] = math.nan
    assert value_and_gradient(MODELS.build(cfg), logits, label)[0].isnan()


@pytest.mark.elsewhere
@every_loss
@pytest.mark.parametrize('bad', (math.nan, math.inf, -math.inf))
def test_bad_ignored_pixels_are_not(cfg, num_classes, bad):
    logits, label = draw(num_classes)
    label[0, 0, 0] = label[1] = 255
    value, grad = finite_gradient(cfg, logits, label)
    logits[0, :, 0, 0], logits[1, 0] = bad, bad
    other, other_grad = finite_gradient(cfg, logits, label)
    assert torch.equal(value, other) and torch.equal(grad, other_grad)


@pytest.mark.parametrize('bad', (math.nan, math.inf))
def test_bad_ignored_pixels_do_not_reach_a_pooled_loss_of_another_package(bad):
    cfg = dict(LMP, pixel_loss=dict(type='CrossEntropyLoss'))
    logits, label = draw(5)
    value, grad = finite_gradient(cfg, logits, label)
    logits[label[:, None].expand_as(logits) == 255] = bad
    other, other_grad = finite_gradient(cfg, logits, label)
    assert torch.equal(value, other) and torch.equal(grad, other_grad)


@every_pixel_loss
@pytest.mark.parametrize('bad', (math.nan, math.inf))
def test_bad_weights_of_a_pixel_sampler_are_visible(cfg, num_classes, bad):
    logits, label = draw(num_classes)
    weight = torch.ones(label.shape)
    weight[1, 2, 3], label[1, 2, 3] = bad, 0
    assert not MODELS.build(cfg)(logits, label, weight=weight).isfinite()
