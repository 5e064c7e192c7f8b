import math
import sys

import pytest
import torch
import torch.nn.functional as F
from batches import draw_batch

from mmseg_imbalance.ops import pixel_cross_entropy, stripes

MODULE = sys.modules[pixel_cross_entropy.__module__]
JUNK = pytest.mark.parametrize('junk', (math.nan, math.inf, -math.inf))


@pytest.fixture(params=['whole', 'rows', 'compiled'])
def path(request, monkeypatch):
    """Arguments for each way to do it; as small as the maps are here, stripes are smaller."""
    if request.param == 'rows':
        monkeypatch.setattr(stripes, 'CPU_ELEMENTS', 100)
    if request.param == 'compiled':  # by a back end that needs no compiler
        torch._dynamo.reset()
        compiled = torch.compile(MODULE._score, backend='aot_eager')
        gradient = torch.compile(MODULE._gradient, backend='aot_eager')
        twins = {MODULE._score: compiled, MODULE._gradient: gradient}
        monkeypatch.setattr(MODULE, '_compiled', twins.get)
    return dict(compile=request.param == 'compiled')


def reference(logits, label, ignore_index, align_corners=None, shift=None):
    """What the upsampled map gives, in float64."""
    logits = logits.double()
    if align_corners is not None:
        size = label.shape[1:]
        logits = F.interpolate(logits, size, mode='bilinear', align_corners=align_corners)
    adjusted = logits if shift is None else logits + shift.double().view(-1, 1, 1)
    losses = F.cross_entropy(adjusted, label, ignore_index=ignore_index, reduction='none')
    return losses, logits.argmax(1)


def assert_equal_to_reference(logits, label, ignore_index=255, upstream=None, path=(), **kwargs):
    """Loss, prediction and gradient; returns the first and the last."""
    if upstream is None:
        upstream = torch.randn(label.shape, generator=torch.Generator().manual_seed(0))
    x, twin = (logits.clone().requires_grad_() for _ in range(2))
    scores = pixel_cross_entropy(x, label, ignore_index, predict=True, **kwargs, **dict(path))
    losses, pred = reference(twin, label, ignore_index, **kwargs)
    (grad,) = torch.autograd.grad(scores.loss, x, upstream.to(scores.loss.dtype))
    (expected,) = torch.autograd.grad(losses, twin, upstream.double())

    working = torch.float64 if logits.dtype == torch.float64 else torch.float32
    assert scores.loss.dtype == working and grad.dtype == logits.dtype
    eps, grad_eps = torch.finfo(working).eps, torch.finfo(logits.dtype).eps
    torch.testing.assert_close(scores.loss.double(), losses, rtol=64 * eps, atol=64 * eps)
    scale = expected.abs().max().item()
    torch.testing.assert_close(grad, expected, rtol=4 * grad_eps, atol=64 * eps * scale + grad_eps)
    assert scores.num_classes == logits.shape[1]
    assert torch.equal(scores.pred.long(), pred)
    return scores.loss.detach(), grad


@pytest.mark.parametrize('dtype', (torch.float16, torch.bfloat16, torch.float32, torch.float64))
@pytest.mark.parametrize('num_classes', (1, 2, 19, 300))
@pytest.mark.parametrize('ignore_index', (255, -100))
def test_equals_that_of_pytorch(num_classes, dtype, ignore_index, path):
    logits, label = draw_batch(shape=(2, num_classes, 5, 6))
    label[label == 255] = ignore_index
    if num_classes == 300:
        ignore_index = -100  # 255 is a class then
    assert_equal_to_reference(logits.to(dtype), label, ignore_index, path=path)


@pytest.mark.parametrize('align_corners', (False, True))
@pytest.mark.parametrize(
    ('size', 'new_size'),
    [((3, 4), (24, 32)), ((5, 7), (20, 23)), ((1, 1), (6, 5)), ((9, 8), (4, 3)), ((4, 5), (4, 5))],
)
@pytest.mark.parametrize('dtype', (torch.bfloat16, torch.float32, torch.float64))
def test_equals_resizing_first(size, new_size, align_corners, dtype, path):
    logits, _ = draw_batch(shape=(3, 5, *size))
    _, label = draw_batch(shape=(3, 5, *new_size))
    kwargs = dict(align_corners=align_corners, path=path)
    assert_equal_to_reference(logits.to(dtype), label, **kwargs)


@pytest.mark.elsewhere
def test_autocast_rounds_nothing():
    logits, _ = draw_batch(shape=(2, 5, 6, 7))
    _, label = draw_batch(shape=(2, 5, 24, 28))
    with torch.autocast('cpu', torch.bfloat16):
        assert_equal_to_reference(logits, label, align_corners=False)


@pytest.mark.elsewhere
@pytest.mark.parametrize('align_corners', (None, False))
def test_a_shift_moves_the_loss_and_not_the_prediction(align_corners, path):
    logits, label = draw_batch()
    shift = torch.tensor([0.0, -2.0, 5.0, 0.5, -9.0])
    kwargs = dict(align_corners=align_corners, path=path)
    shifted, _ = assert_equal_to_reference(logits, label, shift=shift, **kwargs)
    plain, _ = assert_equal_to_reference(logits, label, **kwargs)
    assert not torch.allclose(shifted, plain, atol=0.1)


def test_large_logits_lose_no_digits(path):
    """The logarithm of a sum near 10⁴ would have three digits behind the point."""
    logits, label = draw_batch()
    logits = (logits * 1024).round() / 1024 + 8192  # as exact as those near 0
    far, _ = assert_equal_to_reference(logits, label, path=path)
    near, _ = assert_equal_to_reference(logits - 8192, label, path=path)
    torch.testing.assert_close(far, near, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize('dtype', (torch.float16, torch.float32))
def test_prediction_is_the_first_of_equal_ones(dtype, path):
    logits, label = draw_batch()
    logits = logits.sign().to(dtype)
    logits[0, :, 0] = math.inf
    logits[0, :, 1] = -math.inf
    pred = pixel_cross_entropy(logits, label, 255, predict=True, **path).pred
    assert pred.dtype == torch.uint8
    assert torch.equal(pred.long(), logits.max(1).indices)
    logits[1, 2] = math.nan  # has no largest; it may not point beyond the classes
    assert pixel_cross_entropy(logits, label, 255, predict=True, **path).pred.max() < 5


@pytest.mark.parametrize(
    ('num_classes', 'dtype'), [(256, torch.uint8), (257, torch.int16), (1 << 15, torch.int16)]
)
def test_prediction_fits_its_dtype(num_classes, dtype):
    logits = torch.zeros(1, num_classes, 1, 2)
    logits[0, num_classes - 1, 0, 1] = 1
    pred = pixel_cross_entropy(logits, torch.zeros(1, 1, 2).long(), 255, predict=True).pred
    assert pred.dtype == dtype and pred.tolist() == [[[0, num_classes - 1]]]


def test_prediction_only_where_asked_for():
    assert pixel_cross_entropy(*draw_batch(), 255).pred is None


@pytest.mark.elsewhere
def test_other_memory_layouts(path):
    logits, label = draw_batch()
    expected = assert_equal_to_reference(logits, label, path=path)
    for x in (logits.to(memory_format=torch.channels_last), logits.mT.contiguous().mT):
        torch.testing.assert_close(assert_equal_to_reference(x, label, path=path), expected)


@pytest.mark.elsewhere
@JUNK
def test_neither_logits_nor_gradients_of_ignored_pixels_get_through(junk, path):
    logits, label = draw_batch()
    upstream = torch.where(label == 255, junk, 1.0)
    losses, grad = assert_equal_to_reference(logits, label, upstream=torch.ones(2, 9, 11))
    logits[(label == 255)[:, None].expand_as(logits)] = junk
    dirty = logits.requires_grad_()
    dirty_losses = pixel_cross_entropy(dirty, label, 255, **path).loss
    (dirty_grad,) = torch.autograd.grad(dirty_losses, dirty, upstream)
    assert (dirty_losses[label == 255] == 0).all()
    torch.testing.assert_close(dirty_losses, losses)
    torch.testing.assert_close(dirty_grad, grad)
    plain = F.cross_entropy(dirty, label, ignore_index=255, reduction='none')
    (plain_grad,) = torch.autograd.grad(plain, dirty, upstream)
    assert not plain_grad.isfinite().all()  # what this is for


@pytest.mark.parametrize('junk', (math.nan, math.inf))
def test_valid_pixels_hide_nothing(junk, path):
    logits, label = draw_batch(ignored=0)
    logits[0, 1, 2, 3] = junk
    logits.requires_grad_()
    losses = pixel_cross_entropy(logits, label, 255, **path).loss
    (grad,) = torch.autograd.grad(losses, logits, torch.ones_like(losses))
    expected = F.cross_entropy(logits, label, reduction='none')
    (expected_grad,) = torch.autograd.grad(expected, logits, torch.ones_like(expected))
    assert losses[0, 2, 3].isnan() and grad[0, :, 2, 3].isnan().all()
    assert losses.isnan().sum() == expected.isnan().sum() == 1
    assert torch.equal(grad.isnan(), expected_grad.isnan())


@pytest.mark.parametrize('align_corners', (None, False))
@pytest.mark.parametrize('wrong', (5, 254, -1))
def test_wrong_labels_are_no_silent_number(wrong, align_corners, path):
    logits, label = draw_batch()
    label[1, 2, 3] = wrong
    with pytest.raises((IndexError, RuntimeError), match='out of bounds'):
        pixel_cross_entropy(logits, label, 255, align_corners=align_corners, **path)


@pytest.mark.elsewhere
@pytest.mark.parametrize('align_corners', (None, False))
def test_second_derivatives_are_refused(align_corners, path):
    """They would lack the part that goes through the probabilities."""
    logits, label = draw_batch()
    kwargs = dict(align_corners=align_corners, **path)
    losses = pixel_cross_entropy(logits.requires_grad_(), label, 255, **kwargs).loss
    with pytest.raises(RuntimeError, match='cannot be differentiated with create_graph=True'):
        torch.autograd.grad(losses.sum(), logits, create_graph=True)


@pytest.mark.parametrize(
    ('shape', 'align_corners'),
    [((0, 3, 4, 5), None), ((2, 3, 0, 5), None), ((2, 3, 4, 0), None), ((0, 3, 4, 5), False)],
)
def test_empty_maps(shape, align_corners):
    logits = torch.zeros(shape, requires_grad=True)
    label = torch.zeros(shape[0], *shape[2:], dtype=torch.int64)
    scores = pixel_cross_entropy(logits, label, 255, align_corners=align_corners, predict=True)
    scores.loss.sum().backward()
    assert scores.loss.shape == scores.pred.shape == label.shape
    assert logits.grad.shape == shape


@pytest.mark.parametrize('align_corners', (False, True))
@JUNK
def test_resizing_spreads_what_is_not_finite_no_further_than_pytorch(junk, align_corners, path):
    logits, _ = draw_batch(shape=(2, 5, 6, 7))
    _, label = draw_batch(shape=(2, 5, 31, 37))
    logits[0, 1, 3, 2] = junk
    label[label == 1] = 0  # whose probability is 0 where its logit is -inf
    kwargs = dict(align_corners=align_corners)
    losses = pixel_cross_entropy(logits, label, 255, **kwargs, **path).loss
    expected, _ = reference(logits, label, 255, **kwargs)
    assert torch.equal(losses.isfinite(), expected.isfinite())
    torch.testing.assert_close(losses.double(), expected, rtol=1e-5, atol=1e-5, equal_nan=True)


def test_ignored_pixels_around_a_logit_that_is_not_finite(path):
    logits, _ = draw_batch(shape=(2, 5, 6, 7))
    _, label = draw_batch(shape=(2, 5, 24, 28))
    logits[0, 1, 3, 2] = math.nan
    label[0, 8:20, 4:16] = 255
    logits.requires_grad_()
    losses = pixel_cross_entropy(logits, label, 255, align_corners=False, **path).loss
    losses.sum().backward()
    assert losses.isfinite().all() and logits.grad.isfinite().all()


def test_shift_in_half_precision():
    """Of a model that was converted as a whole; the sum is one of float32."""
    logits, label = draw_batch()
    shift = torch.tensor([0.0, -2.5, 5.0, 0.5, -9.0])
    scores = pixel_cross_entropy(logits.half(), label, 255, shift=shift.half())
    expected, _ = reference(logits.half(), label, 255, shift=shift)
    torch.testing.assert_close(scores.loss.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.elsewhere
@pytest.mark.parametrize('align_corners', (None, True))
def test_code_made_by_inductor(align_corners):
    """The back end that users get, with a C++ compiler."""
    torch._dynamo.reset()
    logits, label = draw_batch(shape=(2, 5, 6, 7))
    if align_corners is None:
        logits[(label == 255)[:, None].expand_as(logits)] = 0
        expected = assert_equal_to_reference(logits, label, path=dict(compile=True))
        logits[(label == 255)[:, None].expand_as(logits)] = math.inf
        x = logits.requires_grad_()
        losses = pixel_cross_entropy(x, label, 255, compile=True).loss
        upstream = torch.randn(label.shape, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(
            (losses.detach(), *torch.autograd.grad(losses, x, upstream)), expected
        )
    else:
        _, label = draw_batch(shape=(2, 5, 23, 28))
        path = dict(compile=True)
        assert_equal_to_reference(logits, label, align_corners=align_corners, path=path)
