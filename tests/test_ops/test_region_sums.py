import pytest
import torch
import torch.nn.functional as F
from batches import draw_batch

from mmseg_imbalance.ops import region_sums
from mmseg_imbalance.ops import stripes as stripes_module


def twin(logits, label, ignore_index):
    """By pixels: probability of the label's class, of all classes, and how many there are."""
    valid = label != ignore_index
    p = logits.softmax(1).movedim(1, -1)[valid]
    right = F.one_hot(label[valid], logits.shape[1])
    return torch.stack([(p * right).sum(0), p.sum(0), right.sum(0)])


@pytest.fixture(params=(1 << 19, 60), ids=('one stripe', 'stripes'))
def stripes(request, monkeypatch):
    monkeypatch.setattr(stripes_module, 'CPU_ELEMENTS', request.param)


@pytest.mark.parametrize('ignore_index', (255, 1), ids=('beyond the classes', 'a class'))
def test_equals_the_twin(ignore_index, stripes):
    logits, label = draw_batch()
    label[label == 255] = ignore_index
    sums = torch.stack(region_sums(logits, label, ignore_index))
    assert sums.dtype == torch.float64
    expected = twin(logits.double(), label, ignore_index).double()
    torch.testing.assert_close(sums, expected, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize('align_corners', (None, False, True))
def test_gradcheck(align_corners, stripes):
    label = draw_batch(shape=(2, 3, 5, 4))[1].clamp(max=2)
    label[0, 0] = 255
    size = (5, 4) if align_corners is None else (3, 2)
    logits = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: region_sums(x, label, 255, align_corners)[:2], logits)


def test_resizes_on_the_way(stripes):
    low, label = draw_batch(shape=(2, 5, 5, 6))[0], draw_batch()[1]
    resized = F.interpolate(low, size=label.shape[1:], mode='bilinear', align_corners=False)
    expected = torch.stack(region_sums(resized, label, 255))
    torch.testing.assert_close(torch.stack(region_sums(low, label, 255, False)), expected)


def test_is_differentiable_once():
    logits, label = draw_batch()
    value = region_sums(logits.requires_grad_(), label, 255).predicted[0]
    with pytest.raises(RuntimeError, match='region_sums is differentiable once'):
        torch.autograd.grad(value, logits, create_graph=True)
