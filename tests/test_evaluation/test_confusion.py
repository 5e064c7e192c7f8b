import numpy as np
import pytest
import torch
from mmseg.evaluation import IoUMetric

from mmseg_imbalance.evaluation.confusion import class_scores, confusion_counts, confusion_matrix


def draw(num_classes=6):
    rng = np.random.default_rng(0)
    label = rng.integers(0, num_classes - 1, (40, 30))  # the last class is absent
    pred = np.where(rng.random(label.shape) < 0.6, label, rng.integers(0, num_classes, label.shape))
    label[rng.random(label.shape) < 0.1] = 255
    return pred, label


def test_counts_every_pair():
    pred, label = draw()
    confusion = confusion_matrix(pred, label, 6)
    for t in range(6):
        for p in range(6):
            assert confusion[t, p] == np.count_nonzero((label == t) & (pred == p))


def test_scores_equal_the_metric_of_mmseg():
    pred, label = draw()
    areas = IoUMetric.intersect_and_union(torch.from_numpy(pred), torch.from_numpy(label), 6, 255)
    expected = IoUMetric.total_area_to_metrics(*areas, ['mIoU'])
    scores = class_scores(confusion_counts(confusion_matrix(pred, label, 6)))
    np.testing.assert_allclose(scores['IoU'], expected['IoU'])
    np.testing.assert_allclose(scores['recall'], expected['Acc'])
    assert np.isnan(scores['recall'][5]) and scores['IoU'][5] == 0


def test_bad_values_are_named():
    with pytest.raises(ValueError, match='prediction 7 is not one of the classes 0 … 5'):
        confusion_matrix(np.array([7]), np.array([0]), 6)
    with pytest.raises(ValueError, match='dtype float64 holds values that are not class ids'):
        confusion_matrix(np.array([0.9, 0.2]), np.array([1, 0]), 2)  # probabilities
    with pytest.raises(ValueError, match='label 6 is not'):
        confusion_matrix(np.array([0]), np.array([6]), 6)
    with pytest.raises(ValueError, match='prediction is'):
        confusion_matrix(np.zeros((2, 2)), np.zeros((2, 3)), 6)
