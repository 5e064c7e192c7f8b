"""Losses of logits that are upsampled on the way, against PyTorch's in float64."""

import pytest
import torch
import torch.nn.functional as F
from kernel_device import DEVICE, marks
from test_kernel_score import TOLERANCE, draw

from mmseg_imbalance.ops.kernels import upsampled

pytestmark = marks


LAYOUTS = {
    'contiguous': lambda logits: logits,
    'channels last': lambda logits: logits.contiguous(memory_format=torch.channels_last),
    'sliced': lambda logits: logits.repeat_interleave(2, 3)[..., ::2],
    'transposed': lambda logits: logits.mT.contiguous().mT,
}


def check(shape, size, align_corners, dtype=torch.float32, shift=None, layout='contiguous'):
    images, num_classes = shape[:2]
    _, label, grad_loss = draw((images, num_classes, *size))
    logits = LAYOUTS[layout](draw(shape, dtype, seed=1)[0])
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


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('dtype', TOLERANCE)
def test_half_precision_and_any_strides(dtype, layout):
    check((1, 19, 4, 6), (16, 24), False, dtype, layout=layout)


def test_one_class_and_one_pixel():
    check((1, 1, 2, 3), (5, 6), True)
    check((1, 3, 1, 1), (1, 1), False)


def test_many_classes_and_a_shift():
    check((1, 37, 3, 4), (12, 16), False, shift=torch.linspace(-3, 3, 37, device=DEVICE))


def test_ignored_pixels_say_nothing():
    logits, _, _ = draw((1, 4, 2, 2))
    label = torch.full((1, 8, 8), -1, device=DEVICE)
    loss, log_sum = upsampled.score(logits, label, None, -1, False, None)
    ones = torch.ones_like(loss)
    assert not loss.any()
    assert not upsampled.gradient(logits, label, None, -1, False, log_sum, ones).any()


@pytest.mark.parametrize('bad', (torch.nan, torch.inf, -torch.inf))
def test_non_finite_logits_of_ignored_pixels_do_not_spread(bad):
    logits = draw((1, 4, 3, 3))[0]
    _, label, grad_loss = draw((1, 4, 12, 12))
    label[:, :6, :6] = -1  # all that the first logit is part of
    clean = logits.clone()
    logits[:, 1, 0, 0] = bad
    found = []
    for each in (clean, logits):
        loss, log_sum = upsampled.score(each, label, None, -1, False, None)
        grad = upsampled.gradient(each, label, None, -1, False, log_sum, grad_loss)
        found.append((loss, grad))
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=0)
    label[0, 0, 0] = 1  # no longer ignored
    loss, _ = upsampled.score(logits, label, None, -1, False, None)
    assert not loss[0, 0, 0].isfinite() and loss[0, 6:].isfinite().all()
