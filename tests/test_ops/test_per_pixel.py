import pytest
import torch

from mmseg_imbalance.ops import per_pixel


@pytest.mark.parametrize('dtype', (torch.float32, torch.float64))
@pytest.mark.parametrize('shape', ((0, 2, 2), (7,), (2, 3, 4)))
def test_every_pixel_has_the_value_of_its_class(shape, dtype):
    values = torch.tensor([0.5, 3.0, 0.0, 2.0], dtype=dtype)
    label = torch.randint(5, shape)
    expected = [values[c].item() if c < 4 else 0.0 for c in label.flatten().tolist()]
    assert per_pixel(values, label).flatten().tolist() == expected
    assert per_pixel(values, label).dtype == dtype


def test_labels_may_be_a_slice():
    label = torch.arange(6).view(2, 3).T
    assert per_pixel(torch.arange(5.0), label).tolist() == [[0, 3], [1, 4], [2, 0]]
