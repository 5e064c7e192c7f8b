import math

import pytest
import torch
from batches import draw_batch
from loss_configs import loss_configs, name
from mmseg.registry import MODELS
from torch import nn

from mmseg_imbalance.hooks.non_finite import find_culprit, first_non_finite_parameter

CE = dict(type='CrossEntropyLoss')
LOSSES = [*loss_configs(), CE, dict(type='DiceLoss'), dict(type='LovaszLoss', per_image=True)]
every_loss = pytest.mark.parametrize('cfg', LOSSES, ids=name)
PIXEL = (1, 2, 3)


@pytest.fixture
def batch():
    logits, label = draw_batch()
    label[PIXEL], label[1, 7, 8] = 2, 0
    return logits, label


@every_loss
def test_finite_batches_have_no_culprit(cfg, batch):
    loss, weight = MODELS.build(cfg), torch.rand(batch[1].shape)
    assert find_culprit(loss, *batch) is None
    logits, label = batch
    logits[:, 4] = -math.inf  # a masked class
    label[label == 4] = 255
    weight[label == 255] = math.nan
    assert find_culprit(loss, logits, label, weight) is None


@every_loss
def test_logits(cfg, batch):
    logits, label = batch
    total = (label != 255).sum()
    logits[1, :, 7, 8] = math.nan
    for bad in (math.nan, math.inf, -math.inf):
        logits[1, 2, 2, 3] = bad
        culprit = find_culprit(MODELS.build(cfg), logits, label)
        assert culprit.pixel == PIXEL
        assert culprit.fault == f'its logits hold {bad} (1 of 5 classes)'
        assert culprit.share == f'2 such pixels among {total} valid ones in the batch'


@every_loss
def test_weight_of_a_pixel_sampler(cfg, batch):
    weight = torch.where(batch[1] == 255, math.inf, 1.0)
    weight[PIXEL] = math.nan
    culprit = find_culprit(MODELS.build(cfg), *batch, weight)
    assert (culprit.pixel, culprit.fault) == (PIXEL, 'its weight is nan')


@pytest.mark.parametrize('cfg', [dict(type='RecallLoss'), CE], ids=name)
def test_class_weight(cfg, batch):
    logits, label = batch
    loss = MODELS.build(dict(cfg, class_weight=[1.0] * 5))
    loss.class_weight[2] = math.inf
    label[label == 2] = 0
    label[PIXEL] = 2
    culprit = find_culprit(loss, logits, label)
    assert (culprit.pixel, culprit.fault) == (PIXEL, 'the class weight of its label is inf')
    assert culprit.share.startswith('1 such pixel among')


def test_the_loss_itself(batch):
    """A difference of float16 logits that float16 does not hold."""
    logits, label = batch
    logits[1, 2, 2, 3], logits[1, 0, 2, 3] = -6e4, 6e4
    culprit = find_culprit(MODELS.build(CE), logits.half(), label)
    fault = 'its logits are finite, but the loss made of them is inf'
    assert (culprit.pixel, culprit.fault) == (PIXEL, fault)
    assert find_culprit(MODELS.build(dict(type='RecallLoss')), logits.half(), label) is None


def test_one_process_alone_can_look(batch, monkeypatch):
    loss = MODELS.build(dict(type='RecallLoss', sync=True, momentum=0.1))
    monkeypatch.setattr(loss, 'weigh', None)  # where it waits for the others
    assert find_culprit(loss, *batch) is None


def test_ignored_pixels_come_last(batch):
    logits, label = batch
    label[PIXEL] = 255
    total = (label == 255).sum()
    logits[1, 0, 2, 3] = math.inf
    culprit = find_culprit(MODELS.build(CE), logits, label)
    assert (culprit.pixel, culprit.fault) == (PIXEL, 'its logits hold inf (1 of 5 classes)')
    assert culprit.share == f'1 such pixel among {total} ignored ones in the batch'
    logits[1, 0, 7, 8] = math.nan
    assert find_culprit(MODELS.build(CE), logits, label).pixel == (1, 7, 8)
    label[1, 7, 8] = 0
    label[label == 255] = -100
    assert find_culprit(MODELS.build(CE), logits, label, ignore_index=-100).pixel == (1, 7, 8)


def test_parameters():
    model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1))
    model[1].running_mean.fill_(math.nan)  # moved by the forward pass that is looked at
    assert first_non_finite_parameter(model) is None
    model[1].weight.data.fill_(math.inf)
    assert first_non_finite_parameter(model) == '1.weight'
