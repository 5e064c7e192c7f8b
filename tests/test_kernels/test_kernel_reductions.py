"""Counts and values of classes, and weighted means, against a few lines of NumPy and PyTorch."""

import numpy as np
import pytest
import torch
from kernel_device import DEVICE, marks

from mmseg_imbalance.ops.kernels import available
from mmseg_imbalance.ops.kernels.class_counts import count
from mmseg_imbalance.ops.kernels.per_pixel import spread
from mmseg_imbalance.ops.kernels.weighted_mean import weighted_mean

pytestmark = marks


@pytest.mark.parametrize('num_classes', (1, 2, 19, 32, 150))
def test_counts(num_classes):
    rng = np.random.default_rng(0)
    label, pred = rng.integers(num_classes, size=(2, 3, 700))
    label[rng.random(label.shape) < 0.2] = 255
    on_device = (torch.from_numpy(x).to(DEVICE) for x in (pred.astype(np.int16), label))
    found = count(*on_device, num_classes, ignore_index=255).cpu().numpy()
    valid = label != 255
    for row, classes in zip(
        found, (label[valid], label[valid & (label == pred)], pred[valid]), strict=True
    ):
        assert np.array_equal(row, np.bincount(classes, minlength=num_classes))


@pytest.mark.parametrize('dtype', (torch.float32, torch.float64))
def test_values_of_classes(dtype):
    g = torch.Generator().manual_seed(0)
    values = torch.rand(19, generator=g, dtype=dtype)
    label = torch.randint(20, (2, 3, 500), generator=g)
    found = spread(values.to(DEVICE), label.to(DEVICE)).cpu()
    assert torch.equal(found, torch.cat([values, values.new_zeros(1)])[label])
    wrong = torch.tensor([-(2**40), -1, 20, 255, 2**40])  # reads nothing beyond the values
    assert not spread(values.to(DEVICE), wrong.to(DEVICE)).any()


@pytest.mark.parametrize(
    ('pixels', 'divisor', 'counts_as'),
    [(1, [3], [3]), (1000, [0, 2, 9], [1, 2, 9]), (5000, [1e-42, 0.3], [1, 0.3])],
)
def test_weighted_mean_and_its_gradient(pixels, divisor, counts_as):
    g = torch.Generator().manual_seed(0)
    loss, weight = torch.rand(2, len(divisor), pixels, generator=g).to(DEVICE)
    x = loss.clone().requires_grad_()
    mean = weighted_mean(x, weight, torch.tensor(divisor).to(DEVICE), 0.4)
    (3 * mean).backward()
    reference = loss.double().requires_grad_()
    expected = 0.4 * ((reference * weight).sum(1) / torch.tensor(counts_as).to(DEVICE)).mean()
    (3 * expected).backward()
    torch.testing.assert_close(mean.double(), expected.detach(), rtol=1e-6, atol=0)
    torch.testing.assert_close(x.grad.double(), reference.grad, rtol=1e-6, atol=0)


def test_the_trial_that_decides_about_the_kernels_runs():
    available._try_kernel(DEVICE)
