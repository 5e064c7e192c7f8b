import functools

import pytest
import torch
import torch.nn.functional as F
from batches import draw_batch
from mmseg.registry import MODELS
from mmseg.utils import register_all_modules

from lab.speed.contestants import (
    COPY_LIMIT,
    EAGER_CROSS_ENTROPY,
    draw_label,
    loss_contestants,
    stage_contestants,
)
from lab.speed.measure import measure
from lab.speed.sorting import sorted_max_pooling_loss
from mmseg_imbalance.ops import stripes


@pytest.fixture(autouse=True)
def registered():
    register_all_modules(init_default_scope=True)


def gradient(step, logits, label):
    x = logits.clone().requires_grad_()
    step(x, label)
    return x.grad


def test_losses_are_themselves():
    """What is timed has the gradient of what it is called."""
    logits, label = draw_batch()
    steps = {c.name: c.step for c in loss_contestants(5, compile=False)}
    losses = {
        EAGER_CROSS_ENTROPY: lambda x: F.cross_entropy(x, label, ignore_index=255),
        'LMP': functools.partial(MODELS.build(dict(type='LossMaxPooling')), seg_label=label),
        'LMP, p = 4': functools.partial(
            MODELS.build(dict(type='LossMaxPooling', p=4)), seg_label=label
        ),
        'recall loss': functools.partial(MODELS.build(dict(type='RecallLoss')), seg_label=label),
    }
    for name, loss in losses.items():
        x = logits.clone().requires_grad_()
        (expected,) = torch.autograd.grad(loss(x), x)
        torch.testing.assert_close(gradient(steps[name], logits, label), expected)
    assert gradient(steps[COPY_LIMIT], logits, label) is None
    for name in ('OHEM and cross-entropy (MMSegmentation)', 'Lovász (MMSegmentation)'):
        assert gradient(steps[name], logits, label).abs().sum() > 0


@pytest.mark.parametrize('p', (1.05, 1.3, 1.7, 4))
@pytest.mark.parametrize('ratio', (0.01, 0.25, 0.9))
def test_sorting_gives_the_same_loss(p, ratio):
    loss = MODELS.build(dict(type='LossMaxPooling', p=p, ratio=ratio))
    for logits, label in (draw_batch(), draw_batch(ignored=0), draw_batch(ignored=1.1)):
        found = []
        for function in (loss, functools.partial(sorted_max_pooling_loss, p=p, ratio=ratio)):
            x = logits.clone().requires_grad_()
            value = function(x, label)
            found.append((value.detach(), *torch.autograd.grad(value, x)))
        torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-7)


def test_a_tenth_of_the_labels_is_ignored():
    label = draw_label((4, 100, 100), 19, 'cpu')
    assert (label == 255).float().mean().item() == pytest.approx(0.1, abs=0.01)
    assert label[label != 255].unique().tolist() == list(range(19))


def peaks(contestants, shape, label) -> dict[str, float]:
    measured = measure(contestants, torch.empty(shape), label, repeats=1)
    return {m.name: m.peak_bytes for m in measured}


def test_losses_take_three_fifths_of_the_memory_of_cross_entropy(monkeypatch):
    monkeypatch.setattr(stripes, 'CPU_ELEMENTS', 1 << 14)  # as small beside the map as in practice
    contestants = loss_contestants(19, compile=False, others=False)
    memory = peaks(contestants, (2, 19, 128, 256), draw_label((2, 128, 256), 19, 'cpu'))
    base = memory.pop(EAGER_CROSS_ENTROPY)
    memory.pop('Lovász')  # its tables are small beside larger maps only
    assert memory.pop('unified focal') <= 0.8 * base  # two gradients: of the pixels, of the regions
    assert max(memory.values()) <= 0.6 * base


@pytest.mark.parametrize(
    ('shape', 'stride'), [((1, 19, 256, 256), 8), ((1, 150, 128, 128), 4)], ids=str
)
def test_fused_stages_take_an_eighth_of_the_memory(shape, stride, monkeypatch):
    monkeypatch.setattr(stripes, 'CPU_ELEMENTS', 1 << 14)
    images, num_classes, height, width = shape
    label = draw_label((images, height, width), num_classes, 'cpu')
    low = (images, num_classes, height // stride, width // stride)
    memory = peaks(stage_contestants(num_classes), low, label)
    stock = memory['cross-entropy, as MMSegmentation does it']
    fused = {name: peak for name, peak in memory.items() if 'fused' in name}
    assert len(fused) == 3 and max(fused.values()) <= stock / 8
