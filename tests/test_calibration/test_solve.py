"""Objective, ascent and choice, against brute force."""

from itertools import product

import numpy as np
import pytest
import torch

from mmseg_imbalance.calibration import (
    HeldOutPixels,
    Objective,
    PixelSample,
    ascend,
    calibrate,
)
from mmseg_imbalance.evaluation import Scores, class_scores, confusion_counts

OBJECTIVES = (
    dict(score='IoU', members=[True, True, True]),
    dict(score='recall', members=[True, True, True], min_precision=0.6),
    dict(score='IoU', members=[False, False, True]),
)


def objective(score, members, **kwargs):
    return Objective(score, np.array(members), **kwargs)


def random_sample(seed, count=60):
    random = np.random.default_rng(seed)
    label = random.choice(3, count, p=[0.7, 0.2, 0.1])
    label[:3] = range(3)
    logits = random.normal(0, 1, (count, 3)) + np.eye(3)[label]
    logits[:, 0] += 1
    weight = random.uniform(1, 3, 3)[label]
    return PixelSample(logits.astype(np.float32), label, weight)


def plain_value(goal, confusion):
    """The objective by the scores of the package."""
    scores = class_scores(confusion_counts(confusion), (goal.score, 'precision'))
    value = np.nan_to_num(scores[goal.score])[goal.members].mean()
    precision = np.nanmean(scores['precision'][goal.members]) if goal.min_precision else 1
    return value if precision >= goal.min_precision else precision - goal.min_precision - 1


@pytest.mark.parametrize('kind', OBJECTIVES)
def test_the_curve_of_an_offset_is_the_objective_at_every_step(kind):
    goal, sample = objective(**kind), random_sample(0)
    for c in range(3):
        others = sample.logits.copy()
        others[:, c] = -np.inf
        margin = others.max(1) - sample.logits[:, c]
        order = np.argsort(margin)
        curve = goal.along(c, others.argmax(1)[order], sample.label[order], sample.weight[order], 3)
        edges = np.concatenate([[-99], margin[order], [99]])
        for i, value in enumerate(curve):
            offsets = np.zeros(3)
            offsets[c] = (edges[i] + edges[i + 1]) / 2
            confusion = sample.confusion(offsets)
            assert value == pytest.approx(goal(confusion))
            assert value == pytest.approx(plain_value(goal, confusion))


@pytest.mark.parametrize('score', ('IoU', 'recall'))
def test_two_classes_reach_the_best_of_all_offsets(score):
    goal = objective(score, [True, True])
    for seed in range(5):
        sample = two_classes(seed)
        margins = np.sort(sample.logits[:, 0] - sample.logits[:, 1])
        tried = np.concatenate([[-50], (margins[1:] + margins[:-1]) / 2, [50]])
        best = max(goal(sample.confusion(np.array([0, b]))) for b in tried)
        found = ascend(sample, goal, np.zeros(2), np.array([False, True]), bound=50)
        assert goal(sample.confusion(found)) == pytest.approx(best) and found[0] == 0


def two_classes(seed):
    sample = random_sample(seed)
    few = sample.label < 2
    return PixelSample(sample.logits[few, :2], sample.label[few], sample.weight[few])


@pytest.mark.parametrize('kind', OBJECTIVES)
def test_three_classes_come_close_to_the_best_of_a_grid(kind):
    goal, grid, short = objective(**kind), np.linspace(-3, 3, 31), 0
    for seed in range(4):
        sample = random_sample(seed, 400)  # of fewer, single pixels make many local optima
        start = goal(sample.confusion(np.zeros(3)))
        best = max(goal(sample.confusion(np.array([0, *b]))) for b in product(grid, grid))
        found = ascend(sample, goal, np.zeros(3), np.ones(3, bool))
        value = goal(sample.confusion(found))
        assert value >= start and abs(found).max() <= 4
        for c, b in product(range(3), np.linspace(-4, 4, 81)):  # no class alone can do better
            moved = found.copy()
            moved[c] = b
            assert goal(sample.confusion(moved)) <= value + 1e-4
        short = max(short, best - value)
    assert short < 0.02


def test_offsets_stay_within_their_bound():
    found = ascend(
        random_sample(0), objective('recall', [True] * 3), np.array([0, 0, 1.0]),
        np.array([False, False, True]), bound=0.01,
    )  # fmt: skip
    assert found[:2].tolist() == [0, 0] and 0.99 <= found[2] <= 1.01


def pixels_of(shift, noise, images=10):
    """Held-out images of a network whose logits lack ``shift`` (C,)."""
    pixels = HeldOutPixels(np.array([0.8, 0.15, 0.05]), pixels=6000)
    random = torch.Generator().manual_seed(0)
    for i in range(images):
        label = torch.multinomial(torch.tensor([0.8, 0.15, 0.05]), 256, True, generator=random)
        label = label.reshape(1, 16, 16)
        logits = torch.randn(1, 3, 16, 16, generator=random) * noise
        logits.scatter_add_(1, label[:, None], torch.full((1, 1, 16, 16), 3.0))
        pixels.update(logits - torch.tensor(shift)[:, None, None], label, i >= images // 2)
    return pixels


def test_the_kind_that_other_images_confirm_is_taken():
    goal = objective('IoU', [True] * 3)
    # class 1 alone is too low, which no multiple of the prior mends
    lacking = calibrate(pixels_of([0.0, 2.5, 0.0], noise=1.0), goal)
    assert lacking.kind == 'class'
    assert lacking.offsets['class'][1] - lacking.offsets['class'][0] == pytest.approx(2.5, abs=1)
    assert lacking.checked['class'] > max(lacking.checked['tau'], lacking.checked['none']) + 0.05
    # the network is right: offsets fit noise, or nothing is gained
    right = calibrate(pixels_of([0.0, 0.0, 0.0], noise=0.1), goal)
    assert right.kind == 'none' and right.offsets['none'].tolist() == [0, 0, 0]


def test_each_half_judges_what_the_other_one_found():
    pixels, goal = pixels_of([0.0, 1.0, 0.0], noise=2.0, images=4), objective('IoU', [True] * 3)
    found = calibrate(pixels, goal, min_images=1)
    expected = []
    for half in (0, 1):
        best = max(range(len(pixels.taus)), key=lambda t, h=half: goal(pixels.confusions[h, t]))
        start = pixels.tau_offsets[best]
        offsets = ascend(pixels.sample(half), goal, start, np.ones(3, bool))
        other = 1 - half
        expected.append(
            [goal(pixels.confusions[other, best]), goal(pixels.sample(other).confusion(offsets))]
        )
    assert [found.checked['tau'], found.checked['class']] == pytest.approx(np.mean(expected, 0))


def test_other_images_may_be_a_little_less_precise():
    pixels = pixels_of([0.0, 0.0, 0.0], noise=2.0)
    as_it_is = [pixels.sample(half).confusion(np.zeros(3)) for half in (0, 1)]
    precision = [
        class_scores(confusion_counts(c), ['precision'])['precision'].mean() for c in as_it_is
    ]
    goal = objective('recall', [True] * 3, min_precision=min(precision) + 0.01)
    assert min(map(goal, as_it_is)) < 0 < calibrate(pixels, goal).checked['none']


def test_tau_mends_logits_that_hold_the_prior():
    prior = np.log([0.8, 0.15, 0.05])
    pixels = pixels_of((-prior).tolist(), noise=1.0)
    found = calibrate(pixels, objective('recall', [True] * 3), min_images=11)
    assert found.kind == 'tau' and 0.6 <= found.tau <= 1.4  # no class is in 11 images
    np.testing.assert_array_equal(found.offsets['class'], found.offsets['tau'])
    means = [
        Scores('abc', pixels.sample().confusion(found.offsets[kind])).means()['mAcc']
        for kind in ('none', 'tau')
    ]
    assert means[1] > means[0] + 3


def test_one_half_alone_cannot_be_checked():
    pixels = pixels_of([0.0] * 3, noise=1.0, images=1)
    with pytest.raises(ValueError, match='both halves'):
        calibrate(pixels, objective('IoU', [True] * 3))


def test_a_class_in_one_half_is_not_judged_in_the_other():
    """Perfect logits, of three classes in one half and two in the other."""
    pixels = HeldOutPixels([0.5, 0.3, 0.2])
    for half, classes in ((0, [0, 1, 2]), (1, [0, 1])):
        label = torch.tensor(classes).repeat(40).view(1, 1, -1)
        logits = torch.nn.functional.one_hot(label, 3).movedim(-1, 1) * 9.0
        for _ in range(8):
            pixels.update(logits, label, half)
    for score in ('IoU', 'recall'):
        found = calibrate(pixels, objective(score, [True, True, True]))
        assert found.checked == dict(none=1, tau=1, **{'class': 1}) and found.kind == 'none'


def test_another_ignored_label():
    label = torch.tensor([[[0, 1, 1, 0]]])
    logits = torch.zeros(1, 2, 1, 4)
    logits[:, 0] = 1
    pixels = HeldOutPixels([0.5, 0.5], ignore_index=1)
    pixels.update(logits, label, 0)
    assert pixels.images.tolist() == [1, 0]
    assert pixels.confusions[0, pixels.taus.index(0)].tolist() == [[2, 0], [0, 0]]
