import numpy as np
import pytest
import torch

from mmseg_imbalance.ops import class_counts


@pytest.mark.elsewhere
@pytest.mark.parametrize('num_classes', (1, 2, 19, 300))
def test_equals_numpy(num_classes):
    g = torch.Generator().manual_seed(num_classes)
    label = torch.randint(0, num_classes, (2, 13, 17), generator=g)
    pred = torch.where(torch.rand(label.shape, generator=g) < 0.5, label, 0)
    label[torch.rand(label.shape, generator=g) < 0.2] = 255 if num_classes < 255 else -1
    ignore_index = 255 if num_classes < 255 else -1
    counts = class_counts(pred, label, num_classes, ignore_index)
    y, z = label.numpy().ravel(), pred.numpy().ravel()
    expected = [
        [np.count_nonzero(y == c) for c in range(num_classes)],
        [np.count_nonzero((y == c) & (z == c)) for c in range(num_classes)],
        [np.count_nonzero((y != ignore_index) & (z == c)) for c in range(num_classes)],
    ]
    assert counts.dtype == torch.int64
    np.testing.assert_array_equal(counts.numpy(), expected)


def test_nothing_but_ignored_pixels():
    label = torch.full((3, 4), 255)
    assert class_counts(torch.ones_like(label), label, 5, 255).tolist() == [[0] * 5] * 3


def test_exact_beyond_the_integers_of_float32():
    label = torch.zeros(2**24 + 3, dtype=torch.int64)
    assert class_counts(label, label, 2, 255)[:, 0].tolist() == [2**24 + 3] * 3
