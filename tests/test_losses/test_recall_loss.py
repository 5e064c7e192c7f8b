import numpy as np
import pytest
import torch
import torch.nn.functional as F
from batches import NUM_CLASSES, draw_batch
from mmseg.registry import MODELS
from references import recall_loss as reference
from torch import nn

from mmseg_imbalance.losses.recall_loss import RecallLoss

LABEL = torch.tensor([0, 0, 0, 0, 1, 1, 2, 255]).view(1, 2, 4)
PRED = torch.tensor([0, 0, 1, 0, 1, 0, 2, 1]).view(1, 2, 4)


@pytest.mark.parametrize('normalizer', ('valid', 'all', 'weight'))
@pytest.mark.parametrize('floor', (0, 1, 2.5))
def test_equals_the_formula(floor, normalizer):
    for seed in range(5):
        logits, label = draw_batch(seed)
        weight = torch.rand(label.shape)
        for class_weight in (None, [0.5, 1, 2, 3, 0.1]):
            loss = RecallLoss(floor=floor, normalizer=normalizer, class_weight=class_weight)
            value = loss(logits, label, weight=weight).item()
            expected = reference(
                logits, label, floor, normalizer, class_weight=class_weight, pixel_weight=weight
            )
            np.testing.assert_allclose(value, expected, rtol=1e-5)


@pytest.mark.parametrize('floor, weights', ((0, [0.25, 0.5, 0]), (1, [0.25, 0.5, 1])))
def test_vector_computed_by_hand(floor, weights):
    logits = 3 * F.one_hot(PRED, 3).permute(0, 3, 1, 2).float()
    cross_entropy = F.cross_entropy(logits, LABEL, ignore_index=255, reduction='none')
    factors = torch.tensor([*weights, 0])[torch.where(LABEL == 255, 3, LABEL)]
    loss = RecallLoss(floor=floor)
    pixels = loss(logits, LABEL, reduction_override='none')
    torch.testing.assert_close(pixels, factors * cross_entropy)
    total = (factors * cross_entropy).sum()
    for normalizer, divisor in (('all', 8), ('valid', 7), ('weight', factors.sum())):
        value = RecallLoss(floor=floor, normalizer=normalizer)(logits, LABEL)
        torch.testing.assert_close(value, total / divisor)


def test_equals_the_released_code_where_that_works():
    """No ignored pixel: counters that start at 1, mean over all pixels (written anew)."""
    logits, label = draw_batch(ignored=0)
    pred = logits.argmax(1)
    missed = torch.ones(NUM_CLASSES)
    total = torch.ones(NUM_CLASSES)
    for c in range(NUM_CLASSES):
        if ((label == c) & (pred != c)).any():
            missed[c] = ((label == c) & (pred != c)).sum()
        if (label == c).any():
            total[c] = (label == c).sum()
    expected = ((missed / total)[label] * F.cross_entropy(logits, label, reduction='none')).mean()
    torch.testing.assert_close(RecallLoss(normalizer='all')(logits, label), expected)


def test_perfect_and_hopeless_predictions():
    label = torch.randint(0, NUM_CLASSES, (2, 5, 5))
    right = 50.0 * F.one_hot(label, NUM_CLASSES).permute(0, 3, 1, 2)
    assert RecallLoss(floor=0)(right, label) == 0
    wrong = right.roll(1, dims=1)
    expected = F.cross_entropy(wrong, label)
    for normalizer in ('valid', 'all', 'weight'):
        torch.testing.assert_close(RecallLoss(normalizer=normalizer)(wrong, label), expected)


def test_ties_are_broken_like_argmax():
    logits = torch.zeros(1, 3, 2, 2)  # all equal: class 0 is predicted everywhere
    label = torch.tensor([[[0, 0], [1, 2]]])
    weights = RecallLoss(floor=0)(logits, label, reduction_override='none') / np.log(3)
    torch.testing.assert_close(weights, torch.tensor([[[0.0, 0.0], [1.0, 1.0]]]))


class TestMomentum:
    def test_running_counts_move_only_for_classes_present(self):
        loss = RecallLoss(momentum=0.25)
        first, second = draw_batch(1), draw_batch(2)
        first[1][first[1] == 3] = 0
        second[1][second[1] == 2] = 0
        counts = []
        for logits, label in (first, second):
            loss(logits, label)
            hit = logits.argmax(1) == label
            counts.append(
                [
                    [((label == c) & ok).sum().item() for c in range(NUM_CLASSES)]
                    for ok in (torch.ones_like(hit), hit)
                ]
            )
        a, b = np.array(counts[0], float), np.array(counts[1], float)
        expected = a + 0.25 * (b - a)
        expected[:, 2] = a[:, 2]  # absent from the second batch
        expected[:, 3] = b[:, 3]  # first seen in the second batch
        np.testing.assert_allclose(loss.running_counts.numpy(), expected)

    def test_running_counts_move_in_place(self):
        """For the replicas of DataParallel, and CUDA graphs, which hold the tensor itself."""
        loss = RecallLoss(momentum=0.25, num_classes=NUM_CLASSES)
        held = loss.running_counts
        loss(*draw_batch())
        assert loss.running_counts is held and held.any()

    @pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
    def test_buffers_stay_exact_in_a_model_of_half_precision(self, dtype):
        loss, model = RecallLoss(momentum=0.25, class_weight=[1.0, 2.0, 3.0, 4.0, 0.3]), nn.Module()
        model.loss = loss
        loss(*draw_batch(1))
        loss.running_counts += 100_000.3  # more than float16 holds
        before = {name: buffer.clone() for name, buffer in loss.named_buffers()}
        model.double().to(dtype)
        after = dict(loss.named_buffers())
        assert len(before) == 2 and all(torch.equal(after[name], before[name]) for name in before)

    def test_the_recall_is_that_of_the_running_counts(self):
        loss = RecallLoss(momentum=0.25, floor=0)
        for seed in range(3):
            logits, label = draw_batch(seed)
            pixels = loss(logits, label, reduction_override='none')
            loss(logits, label)
        total, hit = loss.running_counts
        weights = torch.cat([1 - hit / total, torch.zeros(1)])[torch.where(label == 255, 5, label)]
        cross_entropy = F.cross_entropy(logits, label, ignore_index=255, reduction='none')
        torch.testing.assert_close(pixels, (weights * cross_entropy).float())

    def test_evaluation_does_not_update(self):
        loss = RecallLoss(momentum=0.25)
        loss(*draw_batch(1))
        before = loss.running_counts.clone()
        loss.eval()
        loss(*draw_batch(2))
        assert torch.equal(loss.running_counts, before)

    def test_evaluation_uses_the_batch_for_classes_without_counts(self):
        first, second = draw_batch(1), draw_batch(2)
        fresh = RecallLoss(momentum=0.25, num_classes=NUM_CLASSES).eval()
        assert torch.equal(fresh(*first), RecallLoss()(*first))
        loss = RecallLoss(momentum=0.25, floor=0)
        first[1][first[1] == 3] = 0
        loss(*first)
        pixels = loss.eval()(*second, reduction_override='none')
        expected = RecallLoss(floor=0)(*second, reduction_override='none')
        of_the_class = second[1] == 3
        assert torch.equal(pixels[of_the_class], expected[of_the_class])
        assert not torch.equal(pixels, expected)

    def test_a_pixel_sampler_sees_the_same_recall_and_moves_nothing(self):
        loss = RecallLoss(momentum=0.25)
        loss(*draw_batch(1))
        before = loss.running_counts.clone()
        logits, label = draw_batch(2)
        pixels = loss(logits, label, reduction_override='none')
        assert torch.equal(loss.running_counts, before)
        torch.testing.assert_close(loss(logits, label, reduction_override='sum'), pixels.sum())
        assert not torch.equal(loss.running_counts, before)

    @pytest.mark.parametrize('num_classes', (None, NUM_CLASSES))
    def test_saved_and_resumed(self, num_classes, tmp_path):
        loss = RecallLoss(momentum=0.25)
        loss(*draw_batch(1))
        torch.save(loss.state_dict(), tmp_path / 'loss.pth')
        resumed = RecallLoss(momentum=0.25, num_classes=num_classes)
        resumed.load_state_dict(torch.load(tmp_path / 'loss.pth'))
        assert torch.equal(resumed(*draw_batch(2)), loss(*draw_batch(2)))
        assert torch.equal(resumed.running_counts, loss.running_counts)

    def test_replicas_of_data_parallel_need_a_size(self):
        """They live for one step: counts that get their size in one would be lost with it."""
        with pytest.raises(ValueError, match='RecallLoss with momentum needs num_classes'):
            RecallLoss(momentum=0.25)._replicate_for_data_parallel()
        loss = RecallLoss(momentum=0.25, num_classes=NUM_CLASSES)
        replica = loss._replicate_for_data_parallel()
        replica(*draw_batch(1))
        assert loss.running_counts.any()  # as on the first GPU, which shares its memory

    def test_another_number_of_classes_is_named(self):
        loss = RecallLoss(momentum=0.25)
        loss(*draw_batch(1))
        with pytest.raises(RuntimeError, match='running_counts'):
            RecallLoss(momentum=0.25, num_classes=7).load_state_dict(loss.state_dict())

    def test_without_momentum_nothing_is_saved(self):
        assert not RecallLoss().state_dict()


@pytest.mark.parametrize(
    'kwargs, message',
    (
        (dict(floor=-1), 'floor must be .* got -1'),
        (dict(floor=float('nan')), 'floor must be'),
        (dict(normalizer='mean'), "normalizer must be one of .* got 'mean'"),
        (dict(momentum=0), r'momentum must be in \(0, 1\]'),
        (dict(momentum=1.1), 'momentum must be'),
    ),
)
def test_misuse_is_named_at_construction(kwargs, message):
    with pytest.raises(ValueError, match=message):
        RecallLoss(**kwargs)


def test_defaults():
    loss = MODELS.build(dict(type='RecallLoss'))
    assert (loss.floor, loss.normalizer, loss.momentum, loss.sync) == (1, 'weight', None, False)
    assert loss.loss_name == 'loss_recall' and loss.loss_weight == 1
