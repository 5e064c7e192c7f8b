import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from batches import draw_batch

from mmseg_imbalance.losses import BoundaryWeightedLoss
from mmseg_imbalance.ops import PixelScores


def draw_regions(seed=0):
    """A label map of 14 × 17 pixels with regions of a few pixels, some ignored."""
    g = torch.Generator().manual_seed(seed)
    label = torch.randint(0, 2, (2, 4, 5), generator=g) * 3
    label = label.repeat_interleave(4, 1).repeat_interleave(4, 2)[:, :14, :17].clone()
    label[0, 3:6] = label[1, 9, 9] = 255
    return label


def twin(label, factor, sigma):
    """Weights of one image's pixels, by the distances to all pixels of all boundaries."""
    height, width = label.shape
    places = [(y, x) for y in range(height) for x in range(width) if label[y, x] != 255]
    boundary = []
    for y, x in places:
        beside = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
        others = {label[place] for place in beside if place in places}
        if others - {label[y, x]}:
            boundary.append((y, x))
    weight, reach = np.zeros(label.shape), math.ceil(3 * sigma)
    for y, x in places:
        near = [0.0]
        for row, column in boundary:
            if abs(row - y) <= reach and abs(column - x) <= reach:
                near.append(math.exp(-((row - y) ** 2 + (column - x) ** 2) / (2 * sigma**2)))
        weight[y, x] = 1 + factor * max(near)
    return weight


def weights(loss, label):
    scores = PixelScores(torch.zeros(label.shape), None, 5)
    return loss.weigh(scores, label, label != 255)


@pytest.mark.parametrize('sigma', (0.3, 1.5, 20))
def test_weights_equal_the_formula(sigma):
    label = draw_regions()
    weight, divisor = weights(BoundaryWeightedLoss(factor=4, sigma=sigma), label)
    expected = np.stack([twin(image.numpy(), 4, sigma) for image in label])
    np.testing.assert_allclose(weight, expected, rtol=1e-5)
    assert divisor.item() == pytest.approx(expected.sum(), rel=1e-5)


def test_loss_and_gradient_are_those_of_the_weighted_mean():
    label = draw_regions()
    logits = torch.randn(2, 5, 14, 17, dtype=torch.float64, requires_grad=True)
    pixels = F.cross_entropy(logits, label, ignore_index=255, reduction='none')
    weight = torch.from_numpy(np.stack([twin(image.numpy(), 10, 5) for image in label]))
    expected = (weight * pixels).sum() / weight.sum()
    value = BoundaryWeightedLoss()(logits, label)
    torch.testing.assert_close(value, expected, rtol=1e-6, atol=0)
    grads = (torch.autograd.grad(x, logits)[0] for x in (value, expected))
    torch.testing.assert_close(*grads, rtol=1e-6, atol=1e-9)


def test_ignored_pixels_neither_have_nor_make_a_boundary():
    label = torch.tensor([[[0, 255, 1, 1, 1]]])
    weight, _ = weights(BoundaryWeightedLoss(), label)
    assert weight.tolist() == [[[1, 0, 1, 1, 1]]]
    logits, label = draw_batch()
    label[..., 7:] = 255
    cut = BoundaryWeightedLoss()(logits[..., :7], label[..., :7])
    torch.testing.assert_close(BoundaryWeightedLoss()(logits, label), cut)


def test_far_from_boundaries_or_without_a_factor_it_is_cross_entropy():
    logits, label = draw_batch()
    expected = F.cross_entropy(logits, label, ignore_index=255)
    torch.testing.assert_close(BoundaryWeightedLoss(factor=0)(logits, label), expected)
    label[label != 255] = 3
    expected = F.cross_entropy(logits, label, ignore_index=255)
    torch.testing.assert_close(BoundaryWeightedLoss()(logits, label), expected)


def test_misuse_is_named():
    with pytest.raises(ValueError, match='factor must be finite and ≥ 0, got -1'):
        BoundaryWeightedLoss(factor=-1)
    with pytest.raises(ValueError, match='sigma must be finite and > 0, got 0'):
        BoundaryWeightedLoss(sigma=0)
