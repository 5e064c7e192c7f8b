import pytest
import torch

from mmseg_imbalance.ops import class_counts
from mmseg_imbalance.ops.recall import recall_class_weights

LABEL = torch.tensor([0, 0, 0, 0, 1, 1, 2, 255])
PRED = torch.tensor([0, 0, 1, 0, 1, 0, 2, 1])


@pytest.mark.parametrize(
    'floor, expected', ((0, [0.25, 0.5, 0]), (1, [0.25, 0.5, 1]), (2, [0.5, 1, 1]))
)
def test_vector_computed_by_hand(floor, expected):
    counts = class_counts(PRED, LABEL, 3, 255)[:2]
    assert counts.tolist() == [[4, 2, 1], [3, 1, 1]]
    assert recall_class_weights(counts, floor).tolist() == expected


@pytest.mark.parametrize('floor, expected', ((0, 0.0), (1, 1.0)))
def test_class_without_pixels(floor, expected):
    assert recall_class_weights(torch.zeros(2, 1, dtype=torch.int64), floor).item() == expected


def test_running_averages_are_taken_as_they_are():
    counts = torch.tensor([[2.5], [2.0]], dtype=torch.float64)
    assert recall_class_weights(counts, 0).item() == pytest.approx(0.2)
