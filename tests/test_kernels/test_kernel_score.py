"""Cross-entropy and its gradient, against PyTorch's in float64."""

import pytest
import torch
import torch.nn.functional as F
from kernel_device import DEVICE, marks

from mmseg_imbalance.ops.kernels import score

pytestmark = marks
# Triton's interpreter cuts bfloat16 off where a GPU rounds.
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2**-7, torch.float16: 2**-10}


def draw(shape, dtype=torch.float32, seed=0, scale=3):
    g = torch.Generator().manual_seed(seed)
    images, num_classes, height, width = shape
    logits = scale * torch.randn(shape, generator=g)
    label = torch.randint(num_classes, (images, height, width), generator=g)
    label[torch.rand(label.shape, generator=g) < 0.2] = -1
    grad_loss = torch.rand(label.shape, generator=g)
    return logits.to(DEVICE, dtype), label.to(DEVICE), grad_loss.to(DEVICE)


def in_float64(logits, label, grad_loss, shift=None):
    x = logits.double().requires_grad_()
    shifted = x if shift is None else x + shift.double()[:, None, None]
    loss = F.cross_entropy(shifted, label, ignore_index=-1, reduction='none')
    return loss.detach(), torch.autograd.grad((loss * grad_loss).sum(), x)[0]


def check(logits, label, grad_loss, shift=None):
    loss, soft_max = score.score(logits, label, shift, -1, None)
    grad = score.gradient(logits, label, shift, -1, soft_max, grad_loss)
    expected, expected_grad = in_float64(logits, label, grad_loss, shift)
    assert loss.dtype == torch.float32 and grad.dtype == logits.dtype
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=2e-6)
    tolerance = TOLERANCE[logits.dtype]
    torch.testing.assert_close(grad.double(), expected_grad, rtol=tolerance, atol=tolerance / 10)


@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize(
    'shape', [(2, 19, 7, 37), (1, 1, 1, 1), (1, 2, 1, 7), (2, 150, 9, 11), (1, 5, 1, 4097)]
)
def test_loss_and_gradient(shape, dtype):
    check(*draw(shape, dtype))


def test_a_thousand_classes():
    check(*draw((1, 1000, 2, 3)))


@pytest.mark.parametrize('layout', ('channels last', 'sliced', 'transposed'))
def test_any_strides(layout):
    logits, label, grad_loss = draw((2, 6, 10, 12))
    if layout == 'channels last':
        logits = logits.contiguous(memory_format=torch.channels_last)
    elif layout == 'sliced':
        logits, label, grad_loss = logits[:, :, ::2, 1:], label[:, ::2, 1:], grad_loss[:, ::2, 1:]
        label, grad_loss = label.contiguous(), grad_loss.contiguous()
    else:
        logits, label = logits.mT, label.mT.contiguous()
        grad_loss = grad_loss.mT.contiguous()
    check(logits, label, grad_loss)


def test_shift_counts_for_the_loss_and_not_for_the_prediction():
    logits, label, grad_loss = draw((2, 6, 5, 7))
    shift = torch.linspace(-4, 4, 6, device=DEVICE)
    check(logits, label, grad_loss, shift)
    pred = torch.empty(label.shape, dtype=torch.uint8, device=DEVICE)
    score.score(logits, label, shift, -1, pred)
    assert torch.equal(pred.long(), logits.argmax(1))


def test_prediction_is_the_first_of_the_largest():
    logits, label, _ = draw((1, 9, 6, 50))
    logits = logits.round()  # ties
    pred = torch.empty(label.shape, dtype=torch.int16, device=DEVICE)
    score.score(logits, label, None, -1, pred)
    largest = logits == logits.amax(1, keepdim=True)
    assert torch.equal(pred.long(), largest.int().argmax(1))


def test_large_logits_keep_their_digits():
    check(*draw((1, 40, 5, 9), scale=1e4))


def test_ignored_pixels_have_no_gradient_whatever_their_logits_are():
    logits, label, grad_loss = draw((1, 4, 2, 3))
    label[:] = 1
    label[0, 0] = -1
    logits[0, :, 0, 0], logits[0, 2, 0, 1], logits[0, :, 0, 2] = torch.nan, torch.inf, -torch.inf
    loss, soft_max = score.score(logits, label, None, -1, None)
    grad = score.gradient(logits, label, None, -1, soft_max, grad_loss)
    assert torch.equal(loss[0, 0].cpu(), torch.zeros(3))
    assert torch.equal(grad[0, :, 0].cpu(), torch.zeros(4, 3))
    assert grad.isfinite().all()


def test_minus_infinity_is_a_class_that_is_ruled_out():
    logits, label, grad_loss = draw((1, 12, 3, 5))
    logits[:, :5] = -torch.inf
    label[:] = 7
    check(logits, label, grad_loss)


@pytest.mark.parametrize('wrong', (-2, 4, 200))
def test_a_label_out_of_range_is_not_a_number(wrong):
    logits, label, _ = draw((1, 4, 2, 2))
    label[:] = 0
    label[0, 0, 0] = wrong
    loss, soft_max = score.score(logits, label, None, -1, None)
    assert loss.isnan().sum() == 1 and loss[0, 0, 0].isnan()
    grad = score.gradient(logits, label, None, -1, soft_max, torch.ones_like(loss))
    assert grad[0, :, 0, 0].isnan().all() and grad.isnan().sum() == 4
