import numpy as np
import pytest
import torch

from mmseg_imbalance.ops.weight_support import class_mean, weight_support


@pytest.mark.parametrize('dtype', (torch.float32, torch.float64))
@pytest.mark.parametrize('shape', [(7,), (3, 5, 4)])
def test_class_mean(dtype, shape):
    rng = np.random.default_rng(0)
    weight, label = rng.exponential(size=shape), rng.integers(-1, 4, shape)
    got = class_mean(torch.tensor(weight, dtype=dtype), torch.tensor(label), num_classes=6)
    assert got.dtype == torch.float64 and got.shape == (6,)
    for c in range(6):
        if (label == c).any():
            assert got[c].item() == pytest.approx(weight[label == c].mean(), rel=1e-6)
        else:
            assert got[c].isnan()
    assert not got[:4].isnan().all() and got[4:].isnan().all()


def test_class_mean_of_many_equal_weights_is_that_weight():
    """Summed up in float32 it would be off in the third digit."""
    weight, label = torch.full((1 << 21,), 0.1), torch.zeros(1 << 21, dtype=torch.int64)
    assert class_mean(weight, label, 1).item() == pytest.approx(weight[0].item(), rel=1e-9)


def fewest(weight, valid, share):
    """The support by adding the largest weights one by one."""
    carried, total = 0.0, weight.sum()
    for i, one in enumerate(sorted(weight[valid], reverse=True), start=1):
        carried += one
        if carried >= share * total * (1 - 1e-9):
            return i / valid.sum()
    return np.nan


@pytest.mark.parametrize('share', (0.1, 0.5, 0.9, 1.0))
def test_support(share):
    rng = np.random.default_rng(1)
    valid = rng.random((6, 50)) < 0.8
    weight = np.where(valid, rng.exponential(size=valid.shape) ** 3 + 1e-3, 0.0)
    weight[1] = valid[1]  # uniform
    weight[2, 10:] = 0
    got = weight_support(torch.tensor(weight), torch.tensor(valid), share)
    expected = [fewest(w, v, share) for w, v in zip(weight, valid, strict=True)]
    np.testing.assert_allclose(got.numpy(), expected)


def test_support_of_uniform_weights_is_the_share_in_spite_of_rounding():
    for n in range(10, 1000, 10):
        weight = torch.full((1, n), 0.1, dtype=torch.float64)
        assert weight_support(weight, torch.ones(1, n, dtype=torch.bool)).item() == 0.9


def test_support_without_weight_is_not_defined():
    valid = torch.tensor([[True, True], [False, False]])
    assert weight_support(torch.zeros(2, 2), valid).isnan().all()
    assert weight_support(torch.zeros(2, 0), valid[:, :0]).isnan().tolist() == [True, True]
