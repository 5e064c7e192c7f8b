"""Against a twin in float64 that sorts, as the paper's algorithm 1 does."""

import math

import numpy as np
import pytest
import torch
from batches import NoHostSync, draw_batch, value_and_gradient
from hypothesis import given, settings
from hypothesis import strategies as st

from mmseg_imbalance.ops import lovasz, lovasz_softmax
from mmseg_imbalance.ops.jaccard_steps import BucketCounts, _cumulative_in_one, divide


def class_twin(error, foreground):
    """Loss and gradient of one class, of float64 errors; equal errors share their steps of J.

    The foreground of a tie is the first of it in one order and the last in the other one.
    """
    slopes = []
    for first in (foreground, ~foreground):
        order = np.lexsort((~first, -error))
        missed = np.cumsum(foreground[order])
        union = foreground.sum() + np.cumsum(~foreground[order])
        jaccard = 1 - (foreground.sum() - missed) / union
        slope = np.empty_like(error)
        slope[order] = np.diff(jaccard, prepend=0)
        slopes.append(slope)
    slope = (slopes[0] + slopes[1]) / 2
    tied = np.unique(error + 2 * foreground, return_inverse=True)[1].reshape(-1)  # error ≤ 1
    slope = (np.bincount(tied, slope) / np.bincount(tied))[tied]
    return (slope * error).sum(), slope


def twin(logits, label, ignore_index=255, classes='present', class_weight=None):
    """Value and gradient (N, C, H, W)."""
    logits, num_classes = logits.detach().double().movedim(1, -1).numpy(), logits.shape[1]
    label = label.numpy()
    valid = label != ignore_index
    grad = np.zeros_like(logits)
    logits, labels = logits[valid], label[valid]
    p = np.exp(logits - logits.max(1, keepdims=True)) if len(labels) else logits
    p /= p.sum(1, keepdims=True)
    listed = range(num_classes) if isinstance(classes, str) else classes
    if classes == 'present':
        listed = np.unique(labels)
    value, slopes = 0.0, np.zeros_like(p)
    for c in listed if len(labels) else ():
        foreground = labels == c
        weight = (1 if class_weight is None else float(class_weight[c])) / len(listed)
        error = np.where(foreground, 1 - p[:, c], p[:, c]).round(12)  # so that ties are equal
        loss, slope = class_twin(error, foreground)
        value += weight * loss
        slopes[:, c] = weight * np.where(foreground, -slope, slope)
    grad[valid] = p * (slopes - (slopes * p).sum(1, keepdims=True))
    return value, np.moveaxis(grad, -1, 1)


def compute(logits, label, ignore_index=255, **kwargs):
    return value_and_gradient(lovasz_softmax, logits, label, ignore_index, **kwargs)


def assert_equal_to_twin(logits, label, tolerance=1e-5, **kwargs):
    value, grad = compute(logits, label, **kwargs)
    expected, expected_grad = twin(logits, label, **kwargs)
    assert value.item() == pytest.approx(expected, rel=tolerance, abs=tolerance)
    difference = grad.double().numpy() - expected_grad
    largest = abs(expected_grad).max(initial=0)
    assert abs(difference).max(initial=0) <= tolerance * largest + 1e-12
    assert np.linalg.norm(difference) <= tolerance * np.linalg.norm(expected_grad) + 1e-12


@st.composite
def batches(draw):
    g = torch.Generator().manual_seed(draw(st.integers(0, 2**32 - 1)))
    images, height, width = (
        draw(st.integers(1, 2)),
        draw(st.integers(1, 12)),
        draw(st.integers(1, 9)),
    )
    num_classes = draw(st.sampled_from([2, 3, 19, 150]))
    logits = torch.randn((images, num_classes, height, width), generator=g)
    # In float32, confident pixels have another 1 - p than the twin's.
    logits = draw(st.sampled_from([0.1 * logits, logits, 5 * logits.double()]))
    label = torch.randint(
        0, draw(st.integers(1, num_classes)), (images, height, width), generator=g
    )
    label[torch.rand(label.shape, generator=g) < draw(st.sampled_from([0, 0.3, 1]))] = 255
    classes = draw(st.sampled_from(['present', 'all', [0], [1, 0]]))
    weight = torch.rand(num_classes, generator=g) if draw(st.booleans()) else None
    return logits, label, dict(classes=classes, class_weight=weight)


@settings(max_examples=80)
@given(batch=batches())
def test_equals_the_sorted_twin(batch):
    logits, label, options = batch
    assert_equal_to_twin(logits, label, **options)


@pytest.mark.parametrize('kind', ['trained', 'one foreground pixel', 'one class', 'long tail'])
def test_equals_the_sorted_twin_on_many_pixels(kind):
    """In float64: float32 errors of so many pixels have other ranks than those of the twin."""
    logits, label = draw_batch(shape=(1, 4, 600, 600))
    if kind == 'trained':
        logits.scatter_add_(1, label.clamp(max=3)[:, None], torch.full_like(logits[:, :1], 6))
    elif kind == 'one foreground pixel':
        label.masked_fill_(label == 2, 0)[0, 300, 300] = 2
    elif kind == 'one class':
        label[label != 255] = 3
    else:
        rare = torch.rand(label.shape, generator=torch.Generator().manual_seed(1)) < 0.999
        label[(label == 1) & rare] = 0
    assert_equal_to_twin(logits.double(), label)
    value, grad = compute(logits, label)
    exact, exact_grad = compute(logits.double(), label)
    assert value.item() == pytest.approx(exact.item(), rel=1e-6)
    assert (grad - exact_grad).norm() <= 5e-5 * exact_grad.norm()


@pytest.mark.parametrize('num_classes', (2, 3))  # of two classes, all errors are equal
def test_equal_errors_share_their_steps(num_classes):
    logits = torch.zeros(2, num_classes, 4, 5)
    label = torch.arange(40).view(2, 4, 5) % 7 % num_classes
    assert_equal_to_twin(logits, label)
    _, grad = compute(logits, label)
    for c in range(num_classes):
        assert len(grad[:, 0][label == c].unique()) == 1


@pytest.mark.parametrize('right', (True, False))
def test_saturated_logits(right):
    _, label = draw_batch()
    hit = torch.arange(5)[:, None, None] == label[:, None]
    logits = torch.where(hit, 100.0, -100.0) * (1 if right else -1)
    value, grad = compute(logits, label)
    assert value.item() == pytest.approx(twin(logits, label)[0], abs=1e-5)
    assert grad.isfinite().all() and (not right or (value < 1e-9 and (grad == 0).all()))


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


@pytest.mark.parametrize('classes', ['present', 'all', [1]], ids=str)
@pytest.mark.parametrize('shape', [(2, 3, 4, 5), (0, 3, 4, 5), (2, 3, 0, 5)], ids=str)
def test_nothing_valid(classes, shape):
    logits = torch.randn(shape)
    label = torch.full((shape[0], *shape[2:]), 255)
    value, grad = compute(logits, label, classes=classes)
    assert value == 0 and (grad == 0).all() and grad.shape == shape


@pytest.mark.parametrize('bad', (math.nan, math.inf))
def test_a_bad_pixel_is_visible(bad):
    logits, label = draw_batch()
    label[0, 0, 0], logits[0, 1, 0, 0] = 1, bad
    value, grad = compute(logits, label)
    assert value.isnan() and grad.isnan().any()


@pytest.mark.parametrize('dtype', (torch.float16, torch.bfloat16, torch.float64))
def test_other_precisions(dtype):
    logits, label = draw_batch()
    value, grad = compute(logits.to(dtype), label)
    working = torch.float64 if dtype == torch.float64 else torch.float32
    assert value.dtype == working and grad.dtype == dtype
    expected, expected_grad = compute(logits.to(dtype).float(), label)
    torch.testing.assert_close(value.float(), expected, rtol=1e-6, atol=0)
    eps = max(torch.finfo(dtype).eps, 1e-5)
    scale = expected_grad.abs().max().item()
    torch.testing.assert_close(grad.float(), expected_grad, rtol=eps, atol=eps * scale)


@pytest.mark.parametrize('align_corners', (False, True))
def test_equals_resizing_first(align_corners, monkeypatch):
    monkeypatch.setattr(lovasz, '_CPU_PIXELS', 40)  # several stripes
    low, _ = draw_batch(shape=(2, 5, 4, 6))
    _, label = draw_batch(shape=(2, 5, 13, 20))
    value, grad = compute(low, label, align_corners=align_corners)
    x = low.clone().requires_grad_()
    resized = torch.nn.functional.interpolate(
        x, (13, 20), mode='bilinear', align_corners=align_corners
    )
    expected = lovasz_softmax(resized, label, 255)
    (expected_grad,) = torch.autograd.grad(expected, x)
    torch.testing.assert_close(value, expected.detach(), rtol=1e-6, atol=0)
    torch.testing.assert_close(grad, expected_grad, rtol=1e-4, atol=1e-7)


def test_strides_do_not_matter_and_runs_are_equal():
    logits, label = draw_batch(shape=(2, 5, 40, 30))
    value, grad = compute(logits, label)
    for other in (logits, logits.to(memory_format=torch.channels_last)):
        other, other_grad = compute(other, label)
        assert torch.equal(other, value) and torch.equal(other_grad, grad)


def test_no_host_sync():
    """On the device ``'meta'``, where code takes the path of a GPU."""
    logits, label = (tensor.to('meta') for tensor in draw_batch())
    with NoHostSync():
        for classes in ('present', [1, 2]):
            lovasz_softmax(logits.requires_grad_(), label, 255, classes=classes).backward()
    assert logits.grad.shape == logits.shape


def test_keeps_the_logits_and_tables_of_a_fraction_of_their_size():
    logits, label = draw_batch(shape=(1, 5, 600, 600))
    logits.requires_grad_()
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x):
        lovasz_softmax(logits, label, 255)
    own = {logits.data_ptr(), label.data_ptr()}
    assert logits.data_ptr() in {tensor.data_ptr() for tensor in kept}
    assert sum(t.numel() for t in kept if t.data_ptr() not in own) < logits.numel()


def test_is_differentiable_once():
    logits, label = draw_batch()
    value = lovasz_softmax(logits.requires_grad_(), label, 255)
    with pytest.raises(RuntimeError, match='lovasz_softmax is differentiable once'):
        torch.autograd.grad(value, logits, create_graph=True)


def test_divides_buckets_where_their_order_matters():
    """One bucket with foreground and background gains nearly all; the widths remain a whole."""
    foreground = torch.tensor([[0, 3, 0, 1]], dtype=torch.int32)
    background = torch.tensor([[0, 5, 0, 0]], dtype=torch.int32)
    counts = BucketCounts.of(foreground, background)
    width = torch.full((1, 4), 0.25)
    start = torch.arange(4)[None] / 4
    first, new_start, new_width = divide(counts, start, width, more=100)
    parts = first.diff()
    assert first[0] == 0 and first[-1] == 104 and (parts >= 1).all()
    assert parts[1] > 60
    torch.testing.assert_close(new_width.sum(1), torch.ones(1))
    ends = new_start + new_width
    torch.testing.assert_close(ends[:, :-1], new_start[:, 1:])


def test_divides_buckets_of_more_pixels_than_float32_counts():
    """Rounded, the Jaccard loss can fall from a bucket to the next one."""
    foreground, background = torch.zeros(2, 1, 1 << 15, dtype=torch.int32)
    generator = torch.Generator().manual_seed(0)
    inside = slice(10_000, 22_500)
    places = torch.randint(inside.start, inside.stop, (100,), generator=generator)
    foreground[0].index_add_(0, places, torch.ones(100, dtype=torch.int32))
    background[0, -3:] = 333_333
    background[0, inside] = 2_000
    counts = BucketCounts.of(foreground, background)
    upper, lower = counts.jaccard()
    assert (lower < upper).any()
    width = torch.full(foreground.shape, 2.0**-15)
    start = torch.arange(1 << 15)[None] * width
    first, _, new_width = divide(counts, start, width, more=1 << 16)
    assert (first.diff() >= 1).all() and first[-1] == 3 << 15
    torch.testing.assert_close(new_width.sum(1), torch.ones(1))


def test_cumulative_sums_of_a_gpu_survive_an_overflow():
    counts = torch.tensor([[1, 2_000_000_000, 3], [4, 2_000_000_000, 5], [6, 7, 2_000_000_000]])
    assert torch.equal(_cumulative_in_one(counts.int()), counts.cumsum(1, dtype=torch.int32))


def test_in_a_compiled_graph():
    torch._dynamo.reset()
    logits, label = draw_batch()
    compiled = torch.compile(compute_value, backend='aot_eager', fullgraph=True)
    torch.testing.assert_close(compiled(logits, label), compute(logits, label)[0])


def compute_value(logits, label):
    return lovasz_softmax(logits, label, 255)
