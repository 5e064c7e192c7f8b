import numpy as np
import pytest
import torch
import torch.nn.functional as F
from batches import NUM_CLASSES, draw_batch
from references import weighted_cross_entropy as reference

from mmseg_imbalance.losses.weighted_cross_entropy_loss import WeightedCrossEntropyLoss

WEIGHTS = [0.5, 1.0, 2.0, 3.0, 0.0]


@pytest.mark.parametrize('normalizer', ('weight', 'valid'))
def test_equals_the_formula(normalizer):
    for seed in range(5):
        logits, label = draw_batch(seed)
        weight = torch.rand(label.shape)
        loss = WeightedCrossEntropyLoss(class_weight=WEIGHTS, normalizer=normalizer)
        for pixel_weight in (None, weight):
            expected = reference(logits, label, WEIGHTS, normalizer, pixel_weight=pixel_weight)
            value = loss(logits, label, weight=pixel_weight).item()
            np.testing.assert_allclose(value, expected, rtol=1e-5)


@pytest.mark.parametrize('dtype', (torch.float32, torch.float64))
def test_value_and_gradient_are_those_of_pytorch(dtype):
    logits, label = draw_batch()
    logits = logits.to(dtype).requires_grad_()
    weight = torch.tensor(WEIGHTS, dtype=dtype)
    value = WeightedCrossEntropyLoss(class_weight=WEIGHTS)(logits, label)
    expected = F.cross_entropy(logits, label, weight, ignore_index=255)
    assert value.dtype == dtype
    torch.testing.assert_close(value, expected)
    (grad,), (expected_grad,) = (torch.autograd.grad(x, logits) for x in (value, expected))
    torch.testing.assert_close(grad, expected_grad)


def test_a_common_factor_of_the_weights_matters_to_one_normalizer():
    batch, tenfold = draw_batch(), [10 * w for w in WEIGHTS]
    for normalizer, factor in (('weight', 1), ('valid', 10)):
        small, large = (
            WeightedCrossEntropyLoss(class_weight=weights, normalizer=normalizer)(*batch)
            for weights in (WEIGHTS, tenfold)
        )
        torch.testing.assert_close(large, factor * small)


@pytest.mark.parametrize('normalizer', ('weight', 'valid'))
def test_without_weights_it_is_cross_entropy(normalizer):
    logits, label = draw_batch()
    expected = F.cross_entropy(logits, label, ignore_index=255)
    for weights in (None, [1.0] * NUM_CLASSES):
        loss = WeightedCrossEntropyLoss(class_weight=weights, normalizer=normalizer)
        torch.testing.assert_close(loss(logits, label), expected)


@pytest.mark.parametrize('normalizer', ('weight', 'valid'))
def test_only_classes_of_weight_zero(normalizer):
    """PyTorch's own mean is NaN there."""
    logits = torch.randn(1, NUM_CLASSES, 2, 2, requires_grad=True)
    label = torch.tensor([[[4, 4], [255, 4]]])
    value = WeightedCrossEntropyLoss(class_weight=WEIGHTS, normalizer=normalizer)(logits, label)
    value.backward()
    assert value == 0 and (logits.grad == 0).all()


def test_small_weights_do_not_vanish():
    """The divisor is not clamped to 1, as a number of pixels would be."""
    logits, label = draw_batch()
    tiny = WeightedCrossEntropyLoss(class_weight=[1e-7] * NUM_CLASSES)(logits, label)
    torch.testing.assert_close(tiny, F.cross_entropy(logits, label, ignore_index=255))


def test_misuse_is_named():
    with pytest.raises(ValueError, match=r"one of \('weight', 'valid'\), got 'all'"):
        WeightedCrossEntropyLoss(normalizer='all')
