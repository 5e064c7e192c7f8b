"""Arguments of the loss; its mathematics are tested in test_ops/test_lovasz.py."""

import pytest
import torch
from batches import draw_batch, value_and_gradient
from mmseg.models.losses import LovaszLoss
from mmseg.registry import MODELS
from tiny_statistics import make_statistics

from mmseg_imbalance.losses import LossMaxPooling, LovaszSoftmaxLoss, UpsampledLogits

WEIGHTS = [0.5, 1, 2, 3, 0.1]


@pytest.mark.parametrize('classes', ['present', 'all', [0, 4]], ids=str)
@pytest.mark.parametrize('weights', [None, WEIGHTS], ids=['', 'weighted'])
@pytest.mark.parametrize('per_image', (False, True))
def test_equals_the_loss_of_mmsegmentation(classes, weights, per_image):
    logits, label = draw_batch(shape=(2, 5, 16, 17))
    options = dict(classes=classes, class_weight=weights, per_image=per_image, loss_weight=0.7)
    theirs = LovaszLoss(**options, reduction='mean' if per_image else 'none')
    value, grad = value_and_gradient(LovaszSoftmaxLoss(**options), logits, label)
    expected, expected_grad = value_and_gradient(theirs, logits, label, ignore_index=255)
    torch.testing.assert_close(value, expected, rtol=1e-5, atol=0)
    scale = expected_grad.abs().max().item()
    torch.testing.assert_close(grad, expected_grad, rtol=1e-4, atol=1e-5 * scale)


def test_reductions_of_the_images():
    logits, label = draw_batch(shape=(3, 5, 6, 7))
    label[1] = 255
    loss = LovaszSoftmaxLoss(per_image=True)
    images = loss(logits, label, reduction_override='none')
    alone = [LovaszSoftmaxLoss()(x[None], y[None]) for x, y in zip(logits, label, strict=True)]
    assert torch.equal(images, torch.stack(alone)) and images[1] == 0
    torch.testing.assert_close(loss(logits, label), images.mean())
    torch.testing.assert_close(loss(logits, label, reduction_override='sum'), images.sum())
    torch.testing.assert_close(loss(logits, label, avg_factor=2), images.sum() / 2)
    assert loss(logits[:0], label[:0]) == 0


def test_upsampled_logits_give_the_same():
    low, _ = draw_batch(shape=(2, 5, 4, 5))
    _, label = draw_batch(shape=(2, 5, 9, 11))
    for per_image in (False, True):
        loss = LovaszSoftmaxLoss(per_image=per_image)
        logits = UpsampledLogits(low, (9, 11), align_corners=False)
        torch.testing.assert_close(loss(logits, label), loss(logits.resized(), label))


def test_in_a_head_beside_another_loss_with_another_ignored_label():
    """Under the same name as the other one, the head adds them up."""
    logits, label = draw_batch()
    label[label == 255] = 0
    names = dict(loss_decode=[dict(type='LovaszSoftmaxLoss'), dict(type='LossMaxPooling')])
    losses = [MODELS.build(cfg) for cfg in names['loss_decode']]
    assert [loss.loss_name for loss in losses] == ['loss_lovasz', 'loss_lmp']
    without = losses[0](logits, label, weight=None, ignore_index=0)
    assert without != losses[0](logits, label) and without.isfinite()


def test_class_weights_from_statistics():
    loss = LovaszSoftmaxLoss(class_weight='median_frequency')
    logits, label = draw_batch()
    with pytest.raises(RuntimeError, match='have not been counted yet'):
        loss(logits, label)
    assert loss.needs_statistics
    statistics = make_statistics([range(1, logits.shape[1] + 1)])
    weights = next(iter(loss.use_statistics(statistics).values()))
    same = LovaszSoftmaxLoss(class_weight=weights)
    assert loss(logits, label) == same(logits, label) != LovaszSoftmaxLoss()(logits, label)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(classes='some'), "classes must be 'present', 'all' or a list, got 'some'"),
        (dict(classes=[]), 'classes must not be empty'),
        (dict(classes=['road']), r"classes must be a list of class indices, got \['road'\]"),
        (dict(classes=[1.0]), 'classes must be a list of class indices'),
        (dict(classes=[1, 5], num_classes=5), 'classes has 5, but classes are 0 … 4'),
        (dict(num_classes=1), 'num_classes is 1'),
        (dict(loss_name='lovasz'), "loss_name must contain 'loss'"),
        (dict(class_weight=[1, -1]), 'class_weight'),
    ],
)
def test_misuse_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        LovaszSoftmaxLoss(**arguments)


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (dict(weight=torch.ones(2, 9, 11)), 'no losses of single pixels'),
        (dict(reduction_override='max'), 'reduction_override must be'),
        (dict(avg_factor=2), 'avg_factor needs per_image=True'),
        (dict(ignore_index=0), 'label 255 is neither a class'),
    ],
)
def test_misuse_in_a_call_is_named(call, message):
    logits, label = draw_batch()
    with pytest.raises(ValueError, match=message):
        LovaszSoftmaxLoss()(logits, label, **call)
    with pytest.raises(ValueError, match='classes has 9'):
        LovaszSoftmaxLoss(classes=[9])(logits, label)


def test_it_cannot_be_pooled():
    logits, label = draw_batch()
    loss = LossMaxPooling(pixel_loss=dict(type='LovaszSoftmaxLoss'))
    with pytest.raises(ValueError, match='instead of one loss per pixel'):
        loss(logits, label)
