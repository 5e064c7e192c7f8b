"""Losses of logits that are upsampled on the way, against PyTorch's in float64."""

import pytest
import torch
import torch.nn.functional as F
from kernel_device import DEVICE, marks
from test_kernel_score import TOLERANCE, draw

from mmseg_imbalance.ops.kernels import upsampled

pytestmark = marks


def check(shape, size, align_corners, dtype=torch.float32, shift=None, channels_last=False):
    images, num_classes = shape[:2]
    _, label, grad_loss = draw((images, num_classes, *size))
    logits = draw(shape, dtype, seed=1)[0]
    if channels_last:
        logits = logits.contiguous(memory_format=torch.channels_last)
    pred = torch.empty(label.shape, dtype=torch.int16, device=DEVICE)
    loss, log_sum = upsampled.score(logits, label, shift, -1, align_corners, pred)
    grad = upsampled.gradient(logits, label, shift, -1, align_corners, log_sum, grad_loss)

    x = logits.double().requires_grad_()
    large = F.interpolate(x, size=size, mode='bilinear', align_corners=align_corners)
    shifted = large if shift is None else large + shift.double()[:, None, None]
    expected = F.cross_entropy(shifted, label, ignore_index=-1, reduction='none')
    (expected * grad_loss).sum().backward()
    torch.testing.assert_close(loss.double(), expected.detach(), rtol=1e-5, atol=5e-6)
    # The largest of a map counts: a logit's gradient is a sum over hundreds of pixels.
    tolerance = TOLERANCE[dtype] * float(x.grad.abs().max())
    torch.testing.assert_close(grad.double(), x.grad, rtol=0, atol=tolerance)
    assert (pred.long() == large.argmax(1)).float().mean() > 0.99  # but for near ties
    again = upsampled.gradient(logits, label, shift, -1, align_corners, log_sum, grad_loss)
    assert torch.equal(grad, again)


@pytest.mark.parametrize('align_corners', (False, True))
@pytest.mark.parametrize(
    ('small', 'large'),
    [((5, 7), (20, 28)), ((4, 5), (7, 20)), ((3, 3), (11, 8)), ((1, 1), (4, 3)), ((2, 6), (3, 7))],
)
def test_any_scale(small, large, align_corners):
    check((2, 6, *small), large, align_corners)


@pytest.mark.parametrize('dtype', TOLERANCE)
def test_half_precision_and_channels_last(dtype):
    check((1, 19, 4, 6), (16, 24), False, dtype, channels_last=True)


def test_many_classes_and_a_shift():
    check((1, 37, 3, 4), (12, 16), False, shift=torch.linspace(-3, 3, 37, device=DEVICE))


def test_ignored_pixels_say_nothing():
    logits, _, _ = draw((1, 4, 2, 2))
    label = torch.full((1, 8, 8), -1, device=DEVICE)
    loss, log_sum = upsampled.score(logits, label, None, -1, False, None)
    ones = torch.ones_like(loss)
    assert not loss.any()
    assert not upsampled.gradient(logits, label, None, -1, False, log_sum, ones).any()
