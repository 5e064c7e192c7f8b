import pytest
import torch

from mmseg_imbalance.ops.labels import check_labels


def test_classes_and_the_ignored_value_pass():
    check_labels(torch.tensor([[0, 4, 255]]), 5, 255)
    check_labels(torch.tensor([[0, 4, -100]]), 5, -100)
    check_labels(torch.zeros(0, dtype=torch.int64), 5, 255)


@pytest.mark.parametrize('value', (5, -1, 255, 1000))
def test_names_the_value_and_the_way_out(value):
    label = torch.tensor([0, 7, value, value]) if value == 1000 else torch.tensor([0, value])
    first = 7 if value == 1000 else value
    with pytest.raises(ValueError, match=rf'label {first} is neither .*label_map') as error:
        check_labels(label, 5, 254)
    assert '3 pixels are' in str(error.value) or '1 pixel is' in str(error.value)
