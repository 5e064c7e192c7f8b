"""What is recorded of a loss, and the curves that are made of it."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from batches import NUM_CLASSES, NoHostSync, draw_batch
from mmseg.registry import MODELS, TASK_UTILS
from references import max_pooling_weights
from two_ranks import on_two_ranks

from mmseg_imbalance.ops.pixel_cross_entropy import PixelScores
from mmseg_imbalance.weighting.record import WeightingRecorder, curves_of, weigh

LMP, RECALL = dict(type='LossMaxPooling'), dict(type='RecallLoss')
CLASS_WEIGHT = [0.5, 1.0, 2.0, 30.0, 0.1]
WCE = dict(type='WeightedCrossEntropyLoss', class_weight=CLASS_WEIGHT)
LOSSES = (
    LMP, RECALL, dict(LMP, pool='batch'), dict(RECALL, normalizer='valid'), WCE,
    dict(LMP, class_weight=CLASS_WEIGHT), dict(RECALL, class_weight=CLASS_WEIGHT),
)  # fmt: skip
all_losses = pytest.mark.parametrize('cfg', LOSSES, ids=lambda c: '-'.join(map(str, c.values())))


def record(cfg, *batch, **kwargs):
    """A loss, its value, and what is recorded of a step with it."""
    loss = MODELS.build(cfg)
    recorder = WeightingRecorder(loss)
    recorder.start()
    value = loss(*batch, **kwargs)
    return loss, value, recorder.take()


@all_losses
def test_nothing_is_kept_unless_asked_for(cfg):
    loss = MODELS.build(cfg)
    recorder = WeightingRecorder(loss)
    loss(*draw_batch())
    assert recorder._call is None and recorder.take() is None
    recorder.start()
    loss(*draw_batch())
    assert recorder.take() is not None
    assert recorder._call is None  # nor for longer than it takes
    recorder.close()
    recorder.start()
    loss(*draw_batch())
    assert recorder.take() is None


@all_losses
def test_record_is_what_the_loss_is_made_of(cfg):
    logits, label = draw_batch()
    logits.requires_grad_()
    loss, value, kept = record(cfg, logits, label)
    assert not any(value.requires_grad for value in kept if isinstance(value, torch.Tensor))
    assert torch.equal(kept.pred, logits.argmax(1)) and torch.equal(kept.seg_label, label)
    assert kept.num_classes == logits.shape[1]
    assert torch.equal(kept.valid, label != 255)
    pixel_loss = F.cross_entropy(logits, label, ignore_index=255, reduction='none')
    torch.testing.assert_close(kept.pixel_loss, pixel_loss.detach())
    groups = len(kept.divisor)
    sums = (kept.weight * kept.pixel_loss).reshape(groups, -1).sum(1)
    torch.testing.assert_close((sums / kept.divisor).mean().float(), value.detach())


@all_losses
def test_relative_weight_is_in_units_of_the_mean(cfg):
    """The gradient of the loss with respect to a pixel loss, over that of the mean."""
    logits, label = draw_batch()
    loss, _, kept = record(cfg, logits, label)
    mean = F.cross_entropy(logits, label, ignore_index=255, reduction='none')
    grouped = (label != 255).reshape(len(kept.divisor), -1)
    of_the_mean = (grouped / grouped.sum(1, keepdim=True) / len(grouped)).view_as(label)
    pixels = mean.clone().requires_grad_()
    loss.score = lambda *args: PixelScores(pixels, logits.argmax(1), logits.shape[1])
    (gradient,) = torch.autograd.grad(loss(logits, label), pixels)
    valid = label != 255
    relative = kept.relative_weight()
    assert relative[valid].min() >= 0
    torch.testing.assert_close(
        relative[valid].float(), gradient[valid] / of_the_mean[valid], rtol=1e-4, atol=1e-6
    )
    assert (relative[~valid] == 0).all()


@pytest.mark.parametrize('cfg', [RECALL, dict(RECALL, class_weight=CLASS_WEIGHT), WCE])
def test_relative_weight_of_a_weighted_mean_averages_to_one(cfg):
    _, _, kept = record(cfg, *draw_batch())
    assert kept.relative_weight()[kept.valid].mean().item() == pytest.approx(1)
    assert abs(kept.weight[kept.valid].mean() - 1) > 0.05


def test_class_weights_and_a_sampler_are_in_the_weight_and_not_in_the_pixel_loss():
    logits, label = draw_batch()
    drawn = torch.where(label == 255, torch.nan, torch.rand(label.shape))
    _, _, kept = record(WCE, logits, label, weight=drawn)
    valid = label != 255
    class_weight = torch.tensor(CLASS_WEIGHT)[label[valid]]
    torch.testing.assert_close(kept.weight[valid], class_weight * drawn[valid])
    torch.testing.assert_close(kept.weighing[valid], class_weight)
    assert (kept.weight[~valid] == 0).all()
    plain = F.cross_entropy(logits, label, ignore_index=255, reduction='none')
    torch.testing.assert_close(kept.pixel_loss, plain)


@pytest.mark.parametrize(
    ('cfg', 'expected'),
    [
        *((cfg, True) for cfg in LOSSES),
        (dict(type='SoftmaxFocalLoss', class_weight=CLASS_WEIGHT), True),
        (dict(type='WeightedCrossEntropyLoss', class_weight='enet'), True),
        (dict(type='WeightedCrossEntropyLoss'), False),
        (dict(type='SoftmaxFocalLoss'), False),
        (dict(type='LogitAdjustedLoss'), False),
    ],
)
def test_which_losses_weigh_pixels(cfg, expected):
    assert MODELS.build(cfg).weighs_pixels == expected


@all_losses
def test_probing_of_single_pixels_is_not_kept(cfg):
    loss, _, kept = record(cfg, *draw_batch(), reduction_override='none')
    assert kept is None
    recorder = WeightingRecorder(loss)
    recorder.start()
    loss(*draw_batch(3))
    loss(*draw_batch(1))  # the last one counts
    loss(*draw_batch(2), reduction_override='none')
    assert torch.equal(recorder.take().weight, record(cfg, *draw_batch(1))[2].weight)


@pytest.mark.elsewhere
def test_with_the_hard_example_pixel_sampler():
    """The sampler's factors are in what is kept, not its own look at the pixels."""
    logits, label = draw_batch()
    loss = MODELS.build(LMP)
    recorder = WeightingRecorder(loss)
    recorder.start()
    context = type('Head', (), dict(ignore_index=255, loss_decode=loss))()
    sampler = TASK_UTILS.build(dict(type='OHEMPixelSampler', min_kept=5, context=context))
    weight = sampler.sample(logits, label[:, None])
    assert recorder._call is None
    loss(logits, label, weight=weight)
    by_name = recorder.take()
    assert 0 < (by_name.weight > 0).sum() < (label != 255).sum()
    recorder.start()
    loss(logits, label, weight)
    assert torch.equal(recorder.take().weight, by_name.weight)


@all_losses
def test_recording_changes_nothing(cfg):
    logits, label = draw_batch()
    gradients = []
    for recording in (0, 1, 2):
        loss, x = MODELS.build(cfg), logits.clone().requires_grad_()
        recorders = [WeightingRecorder(loss) for _ in range(recording)]
        for recorder in recorders:
            recorder.start()
        value = loss(x, label)
        for recorder in recorders:
            recorder.take()
        gradients.append((value.detach(), *torch.autograd.grad(value, x)))
    for value, gradient in gradients[1:]:
        assert torch.equal(value, gradients[0][0]) and torch.equal(gradient, gradients[0][1])


@all_losses
def test_recording_waits_for_nothing(cfg):
    loss = MODELS.build(dict(cfg, check_labels=False)).to('meta')
    batch = [tensor.to('meta') for tensor in draw_batch()]
    with NoHostSync():
        assert weigh(loss, *batch) is not None


def test_running_counts_are_used_and_stay_as_they_are():
    """The weights of a step are those of the counts that it ended with."""
    loss = MODELS.build(dict(RECALL, momentum=0.3, normalizer='valid'))
    recorder = WeightingRecorder(loss)
    for seed in range(3):
        logits, label = draw_batch(seed)
        recorder.start()
        value = loss(logits, label)
        counts = loss.running_counts.clone()
        kept = recorder.take()
        assert torch.equal(loss.running_counts, counts) and loss.training
        total = (kept.weight * kept.pixel_loss).sum() / kept.divisor.float()
        torch.testing.assert_close(total.squeeze(), value)


def test_synchronised_weights_are_those_of_the_step(tmp_path):
    on_two_ranks(_record_on_rank, tmp_path)


def _record_on_rank(rank, folder):
    pooled = dict(LMP, pixel_loss=dict(RECALL, sync=True))
    for cfg in (dict(RECALL, sync=True), dict(RECALL, sync=True, momentum=0.4), pooled):
        loss, value, kept = record(cfg, *draw_batch(rank))
        groups = len(kept.divisor)
        sums = (kept.weight * kept.pixel_loss).reshape(groups, -1).sum(1)
        torch.testing.assert_close((sums / kept.divisor.float()).mean(), value.detach())
        assert not any(getattr(module, 'together', False) for module in loss.modules())


@all_losses
def test_curves(cfg):
    logits, label = draw_batch(ignored=0.3)
    loss, _, kept = record(cfg, logits, label)
    curves = {name: value.numpy() for name, value in curves_of(loss, kept).items()}
    label, weight = label.numpy(), kept.weight.double().numpy()
    valid = label != 255
    assert curves['mean_weight'] == pytest.approx(weight[valid].mean())
    supports = []
    for w, v in zip(weight, valid, strict=True):
        carried = np.cumsum(np.sort(w[v])[::-1]) / w.sum()
        supports.append((1 + np.sum(carried < 0.9 - 1e-9)) / v.sum())
    assert curves['support_90'] == pytest.approx(np.mean(supports))
    expected = [weight[label == c].mean() for c in range(NUM_CLASSES)]
    np.testing.assert_allclose(curves['class_weight'], expected, rtol=1e-6)


def test_class_weight_of_the_recall_loss_is_its_own():
    logits, label = draw_batch()
    label[label == 3] = 255
    loss, _, kept = record(dict(RECALL, floor=0), logits, label)
    curve = curves_of(loss, kept)['class_weight'].numpy()
    pred = logits.argmax(1)
    for c in range(NUM_CLASSES):
        total, missed = (label == c).sum().item(), ((label == c) & (pred != c)).sum().item()
        if total:
            weight = float(np.float32(missed / total))  # in the precision of the pixel loss
            assert curve[c] == pytest.approx(weight, rel=1e-12)
    assert np.isnan(curve).tolist() == [False, False, False, True, False]


@pytest.mark.parametrize('ratio', (0.1, 1e-9))
@pytest.mark.parametrize('pool', ('image', 'batch'))
def test_saturated_pixels_of_loss_max_pooling(pool, ratio):
    logits, label = draw_batch(shape=(3, NUM_CLASSES, 20, 30))
    logits[0] *= 4  # larger losses: they take the weight of the batch
    loss, _, kept = record(dict(LMP, pool=pool, p=1.3, ratio=ratio), logits, label)
    losses, valid = kept.pixel_loss.numpy(), kept.valid.numpy()
    groups = [(losses, valid)] if pool == 'batch' else zip(losses, valid, strict=True)
    saturated = 0
    for group, mask in groups:
        n = mask.sum()
        tau = (n / max(1, ratio * n)) ** (1 / 1.3)  # in units of 1 / n
        saturated += np.sum(max_pooling_weights(group[mask], 1.3, ratio) * n >= (1 - 1e-5) * tau)
    assert curves_of(loss, kept)['saturated'].item() == pytest.approx(saturated / valid.sum())
    assert (saturated > 3) == (ratio == 0.1)


@pytest.mark.parametrize(('losses', 'saturated'), [([9.0, 9.0], 2), ([9.0, 9.0, 5.0], 0)])
def test_saturation_of_few_losses_in_a_batch(losses, saturated):
    """m = 2 of 60 pixels, or, image by image, one of 20: a larger share, and a smaller cap."""
    label = torch.zeros(3, 4, 5, dtype=torch.int64)
    logits = torch.stack([torch.full((3, 4, 5), 200.0), torch.zeros(3, 4, 5)], 1)
    for i, loss in enumerate(losses):  # the others have none
        logits[i, :, 0, 0] = torch.tensor([0.0, loss])
    loss, _, kept = record(dict(LMP, pool='batch', ratio=2 / 60), logits, label)
    assert kept.weighing.max() > 1.1 * 20 ** (1 / 1.7)
    assert curves_of(loss, kept)['saturated'].item() == pytest.approx(saturated / 60)


def test_one_pixel_is_all_that_a_small_ratio_needs():
    logits = torch.zeros(1, 2, 1, 20)
    logits[:, 0, :, 1:] = 200
    loss, _, kept = record(dict(LMP, ratio=0.001), logits, torch.zeros(1, 1, 20).long())
    assert curves_of(loss, kept)['saturated'].item() == pytest.approx(1 / 20)


def test_equal_losses_saturate_nothing():
    logits, label = torch.zeros(2, NUM_CLASSES, 4, 5), torch.zeros(2, 4, 5, dtype=torch.int64)
    loss, _, kept = record(LMP, logits, label)
    assert curves_of(loss, kept)['saturated'] == 0
    loss, _, kept = record(dict(LMP, p=float('inf')), logits, label)
    assert curves_of(loss, kept)['saturated'] == 1


@pytest.mark.parametrize('shape', [(2, 3, 4), (0, 3, 4), (2, 0, 4)], ids=str)
def test_curves_without_a_valid_pixel_are_not_defined(shape):
    label = torch.full(shape, 255)
    for cfg in LOSSES:
        loss, _, kept = record(cfg, torch.randn(shape[0], NUM_CLASSES, *shape[1:]), label)
        for value in curves_of(loss, kept).values():
            assert value.isnan().all()
