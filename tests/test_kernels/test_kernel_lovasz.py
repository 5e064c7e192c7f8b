"""Lovász soft-max on the kernels, against the operation without them, in float64 mostly."""

import math

import numpy as np
import pytest
import torch
from batches import draw_batch, value_and_gradient
from kernel_device import DEVICE, marks, use_kernels

from mmseg_imbalance.ops import lovasz, lovasz_softmax

pytestmark = marks


@pytest.fixture(autouse=True)
def on_the_kernels(monkeypatch):
    use_kernels(monkeypatch, True)


def compute(logits, label, **options):
    """Value and gradient on the device."""
    value, grad = value_and_gradient(
        lovasz_softmax, logits.to(DEVICE), label.to(DEVICE), 255, **options
    )
    return value.cpu(), grad.cpu()


def assert_as_in_float64(logits, label, tolerance=1e-5, **options):
    value, grad = compute(logits, label, **options)
    expected, expected_grad = value_and_gradient(
        lovasz_softmax, logits.double(), label, 255, **options
    )
    assert value.item() == pytest.approx(expected.item(), rel=tolerance, abs=tolerance)
    torch.testing.assert_close(
        grad.double(),
        expected_grad,
        rtol=0,
        atol=tolerance * max(1e-6, float(expected_grad.abs().max())),
    )


@pytest.mark.parametrize(
    ('shape', 'divisions'),
    [
        ((1, 2, 1, 1), 2),
        ((2, 5, 9, 11), 2),
        ((1, 19, 30, 23), 1),
        ((3, 150, 7, 5), 2),
    ],
    ids=str,
)
@pytest.mark.parametrize('classes', ('present', 'all'))
def test_equals_the_operation_in_float64(shape, divisions, classes, monkeypatch):
    if divisions == 1:
        monkeypatch.setattr(lovasz, '_MANY', 1)
    logits, label = draw_batch(shape=shape)
    # After a single division, more pixels share their steps with neighbours.
    assert_as_in_float64(logits, label, tolerance=1e-5 if divisions == 2 else 1e-4, classes=classes)


def test_confident_pixels_as_without_kernels(monkeypatch):
    logits, label = draw_batch(shape=(2, 5, 40, 30))
    value, grad = compute(9 * logits, label)
    use_kernels(monkeypatch, False)
    expected, expected_grad = compute(9 * logits, label)
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)
    assert (grad - expected_grad).norm() <= 1e-4 * expected_grad.norm()


def test_classes_of_a_list_have_weights():
    logits, label = draw_batch()
    weight = torch.tensor([1.0, 2, 3, 4, 5])
    value, grad = compute(logits, label, classes=[1, 3], class_weight=weight.to(DEVICE))
    expected, expected_grad = value_and_gradient(
        lovasz_softmax, logits.double(), label, 255, classes=[1, 3], class_weight=weight
    )
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)
    torch.testing.assert_close(grad.double(), expected_grad, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize('align_corners', (False, True))
def test_resizes(align_corners):
    low, _ = draw_batch(shape=(2, 5, 4, 6))
    _, label = draw_batch(shape=(2, 5, 13, 20))
    assert_as_in_float64(low, label, align_corners=align_corners)


@pytest.mark.parametrize('dtype', (torch.float16, torch.bfloat16))
def test_half_precision(dtype):
    logits, label = draw_batch()
    logits = logits.to(dtype)
    value, grad = compute(logits, label)
    expected, expected_grad = compute(logits.float(), label)
    assert value.dtype == torch.float32 and grad.dtype == dtype
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)
    torch.testing.assert_close(grad.float(), expected_grad, rtol=torch.finfo(dtype).eps, atol=1e-7)


def test_strides_do_not_matter_and_runs_are_equal():
    logits, label = draw_batch(shape=(2, 5, 12, 17))
    value, grad = compute(logits, label)
    again, again_grad = compute(logits, label)
    assert torch.equal(again, value) and torch.equal(again_grad, grad)
    wide = torch.zeros(2, 5, 12, 30)
    wide[..., 3:20] = logits
    for other in (logits.to(memory_format=torch.channels_last), wide[..., 3:20]):
        other, other_grad = compute(other, label)
        torch.testing.assert_close(other, value, rtol=1e-6, atol=0)
        torch.testing.assert_close(other_grad, grad, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize('junk', (math.nan, math.inf, -math.inf))
def test_ignored_pixels_are_absent(junk):
    logits, label = draw_batch(shape=(2, 5, 6, 8))
    label[..., 4:] = 255
    value, grad = compute(logits[..., :4].clone(), label[..., :4])
    logits[..., 4:] = junk
    other, other_grad = compute(logits, label)
    torch.testing.assert_close(other, value, rtol=1e-6, atol=0)
    torch.testing.assert_close(other_grad[..., :4], grad, rtol=1e-5, atol=1e-9)
    assert (other_grad[..., 4:] == 0).all()


@pytest.mark.parametrize('bad', (math.nan, math.inf, -math.inf, 'label'))
def test_a_bad_pixel_is_visible(bad):
    logits, label = draw_batch()
    label[0, 0, 0] = 7 if bad == 'label' else 1
    if bad != 'label':
        logits[0, slice(None) if bad == -math.inf else 1, 0, 0] = bad
    value, grad = compute(logits, label)
    assert value.isnan() and grad.isnan().any()


def test_without_a_label_in_range_the_loss_is_nan():
    logits, label = draw_batch()
    value, _ = compute(logits, label.clamp(min=5))
    assert value.isnan()


def test_ignored_label_of_numpy():
    logits, label = (tensor.to(DEVICE) for tensor in draw_batch())
    expected = lovasz_softmax(logits, label, 255)
    assert lovasz_softmax(logits, label, np.int64(255)) == expected


def test_without_a_valid_pixel_the_loss_is_0():
    logits, label = draw_batch()
    value, grad = compute(logits, torch.full_like(label, 255))
    assert value == 0 and not grad.any()


@pytest.mark.parametrize('right', (True, False))
def test_saturated_logits(right):
    _, label = draw_batch()
    hit = torch.arange(5)[:, None, None] == label[:, None]
    logits = torch.where(hit, 100.0, -100.0) * (1 if right else -1)
    assert_as_in_float64(logits, label)
