"""Logits and labels of a framework's own class of tensors, as MONAI's MetaTensor is one."""

import pytest
import torch
from batches import NUM_CLASSES, draw_batch, value_and_gradient
from loss_configs import loss_configs, name, region_configs
from mmseg.registry import MODELS

from mmseg_imbalance.losses import UpsampledLogits
from mmseg_imbalance.ops import plain_tensor

pytestmark = pytest.mark.elsewhere
every_loss = pytest.mark.parametrize(
    'cfg', loss_configs(NUM_CLASSES) + region_configs(NUM_CLASSES), ids=name
)


class Batch(torch.Tensor):
    """Stays with all results and, as MONAI's, takes no index of a scalar."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func is torch.Tensor.__getitem__ and args[0].dim() == 0:
            raise TypeError('len() of a 0-d tensor')
        return super().__torch_function__(func, types, args, kwargs or {})


def test_the_class_is_a_hard_one():
    batch = torch.ones(3).as_subclass(Batch)
    assert type(batch.exp().sum()) is Batch
    with pytest.raises(TypeError):
        batch.sum()[None]


@every_loss
def test_value_and_gradient_are_those_of_plain_tensors(cfg):
    logits, label = draw_batch()
    expected, expected_grad = value_and_gradient(MODELS.build(cfg), logits, label)
    loss, leaf = MODELS.build(cfg), logits.clone().requires_grad_()
    value = loss(leaf.as_subclass(Batch), label.as_subclass(Batch))
    value.backward()
    assert type(value) is torch.Tensor
    assert torch.equal(value, expected) and torch.equal(leaf.grad, expected_grad)


@every_loss
def test_upsampled_logits(cfg):
    low, label = draw_batch(shape=(2, NUM_CLASSES, 5, 6))[0], draw_batch()[1]
    loss, size = MODELS.build(cfg), label.shape[1:]
    value = loss(
        UpsampledLogits(low.as_subclass(Batch), size, align_corners=False), label.as_subclass(Batch)
    )
    expected = MODELS.build(cfg)(UpsampledLogits(low, size, align_corners=False), label)
    assert type(value) is torch.Tensor and torch.equal(value, expected)


@every_loss
def test_a_default_device_changes_nothing(cfg):
    """It takes part in all functions, as the class of a framework does."""
    low, label = draw_batch(shape=(2, NUM_CLASSES, 5, 6))[0], draw_batch()[1]
    size = label.shape[1:]
    expected = MODELS.build(cfg)(UpsampledLogits(low, size, align_corners=False), label)
    with torch.device('cpu'):
        value = MODELS.build(cfg)(UpsampledLogits(low, size, align_corners=False), label)
    assert torch.equal(value, expected)


@every_loss
def test_a_default_precision_changes_nothing(cfg):
    logits, label = draw_batch()
    expected, expected_grad = value_and_gradient(MODELS.build(cfg), logits, label)
    try:
        torch.set_default_dtype(torch.float64)
        value, grad = value_and_gradient(MODELS.build(cfg), logits, label)
        torch.set_default_dtype(torch.bfloat16)
        rough, rough_grad = value_and_gradient(MODELS.build(cfg), logits, label)
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(value, expected) and torch.equal(grad, expected_grad)
    assert torch.equal(rough, expected) and torch.equal(rough_grad, expected_grad)


def test_corners_are_aligned_as_by_pytorch():
    low = draw_batch(shape=(2, NUM_CLASSES, 5, 6))[0]
    by_default = UpsampledLogits(low, (9, 9), align_corners=None)
    assert by_default.resizing is False
    assert torch.equal(by_default.resized(), UpsampledLogits(low, (9, 9), False).resized())


def test_plain_tensors_and_parameters_are_left_alone():
    for tensor in (torch.ones(2), torch.nn.Parameter(torch.ones(2))):
        assert plain_tensor(tensor) is tensor
