import math

import pytest
import torch
import torch.nn.functional as F
from batches import draw_batch

from mmseg_imbalance.ops import pixel_cross_entropy


def gradients(logits, label, ignore_index, upstream):
    found = []
    for function in (pixel_cross_entropy, plain):
        x = logits.clone().requires_grad_()
        losses = function(x, label, ignore_index)
        found.append((losses.detach(), *torch.autograd.grad(losses, x, upstream)))
    return found


HAS_HALF = torch.__version__ >= (2, 2)


def plain(logits, label, ignore_index):
    return F.cross_entropy(logits, label, ignore_index=ignore_index, reduction='none')


@pytest.mark.parametrize('dtype', (torch.float16, torch.bfloat16, torch.float32, torch.float64))
@pytest.mark.parametrize('num_classes', (1, 2, 19, 300))
@pytest.mark.parametrize('ignore_index', (255, -100))
def test_equals_that_of_pytorch(num_classes, dtype, ignore_index):
    if dtype == torch.float16 and not HAS_HALF:
        pytest.skip('PyTorch 2.1 has no soft-max of float16 on a CPU')
    logits, label = draw_batch(shape=(2, num_classes, 5, 6))
    label[label == 255] = ignore_index
    if num_classes == 300:
        ignore_index = -100  # 255 is a class then
    upstream = torch.randn(label.shape, generator=torch.Generator().manual_seed(0))
    own, expected = gradients(logits.to(dtype), label, ignore_index, upstream.to(dtype))
    assert torch.equal(own[0], expected[0])
    rounding = 4 * torch.finfo(dtype).eps
    torch.testing.assert_close(own[1], expected[1], rtol=rounding, atol=rounding)


@pytest.mark.parametrize('junk', (math.nan, math.inf, -math.inf))
def test_neither_logits_nor_gradients_of_ignored_pixels_get_through(junk):
    logits, label = draw_batch()
    upstream = torch.where(label == 255, junk, 1.0)
    (losses, grad), (expected, expected_grad) = gradients(logits, label, 255, torch.ones(2, 9, 11))
    logits[(label == 255)[:, None].expand_as(logits)] = junk
    (dirty, dirty_grad), (_, dirty_plain) = gradients(logits, label, 255, upstream)
    assert torch.equal(dirty, losses) and torch.equal(dirty_grad, grad)
    assert torch.equal(losses, expected)
    torch.testing.assert_close(grad, expected_grad)
    assert not dirty_plain.isfinite().all()  # what this is for


@pytest.mark.parametrize('junk', (math.nan, math.inf))
def test_valid_pixels_hide_nothing(junk):
    logits, label = draw_batch(ignored=0)
    logits[0, 1, 2, 3] = junk
    (losses, grad), (expected, expected_grad) = gradients(logits, label, 255, torch.ones(2, 9, 11))
    assert losses[0, 2, 3].isnan() and grad[0, :, 2, 3].isnan().all()
    assert losses.isnan().sum() == expected.isnan().sum() == 1
    assert torch.equal(grad.isnan(), expected_grad.isnan())


def test_second_derivatives_are_refused():
    """They would lack the part that goes through what is kept."""
    logits, label = draw_batch()
    losses = pixel_cross_entropy(logits.requires_grad_(), label, 255)
    with pytest.raises(RuntimeError, match='cannot be differentiated with create_graph=True'):
        torch.autograd.grad(losses.sum(), logits, create_graph=True)
