"""What all losses of regions share: classes, images, the contract with the heads, precision."""

import pytest
import torch
import torch.nn.functional as F
from batches import NUM_CLASSES, NoHostSync, draw_batch, value_and_gradient
from loss_configs import TVERSKY, UNIFIED, name, region_configs
from mmseg.registry import MODELS

from mmseg_imbalance.losses.upsampled_logits import UpsampledLogits
from mmseg_imbalance.ops.kernels import available

WEIGHTS = [1.0, 2, 3, 4, 5]
all_losses = pytest.mark.parametrize('cfg', region_configs(NUM_CLASSES), ids=name)


@pytest.fixture
def batch():
    return draw_batch()


def build(cfg, **kwargs):
    return MODELS.build(dict(cfg, **kwargs))


@all_losses
def test_ignored_pixels_are_as_if_they_were_cut_out(cfg, batch):
    logits, label = batch
    label[:, :, 7:] = 255
    value, grad = value_and_gradient(build(cfg), logits, label)
    cut, cut_grad = value_and_gradient(build(cfg), logits[..., :7], label[..., :7])
    torch.testing.assert_close(value, cut)
    torch.testing.assert_close(grad, F.pad(cut_grad, (0, 4)))


@all_losses
def test_the_loss_of_images_is_the_mean_of_theirs(cfg, batch):
    loss = build(dict(cfg, per_image=True, loss_weight=0.5))
    one_by_one = torch.stack([build(cfg)(x[None], y[None]) for x, y in zip(*batch, strict=True)])
    torch.testing.assert_close(loss(*batch, reduction_override='none'), 0.5 * one_by_one)
    torch.testing.assert_close(loss(*batch), 0.5 * one_by_one.mean())
    torch.testing.assert_close(loss(*batch, avg_factor=5), 0.5 * one_by_one.sum() / 5)


@all_losses
def test_equal_class_weights_are_a_factor(cfg, batch):
    tripled = build(cfg, class_weight=[3.0] * 5)(*batch)
    torch.testing.assert_close(tripled, 3 * build(cfg)(*batch))


@pytest.mark.filterwarnings('ignore:.*is_autocast_cpu_enabled:DeprecationWarning')
@all_losses
def test_no_product_of_the_backward_pass_is_rounded(cfg, batch, monkeypatch):
    """On a GPU, autocast would round this one in a backward pass that it surrounds."""
    product, mixed = torch.Tensor.mv, []

    def mv(self, other):
        mixed.append(torch.is_autocast_cpu_enabled())
        return product(self, other)

    monkeypatch.setattr(torch.Tensor, 'mv', mv)
    with torch.autocast('cpu', torch.bfloat16):
        build(cfg)(batch[0].requires_grad_(), batch[1]).backward()
    assert not any(mixed) and bool(mixed) == (cfg['type'] != 'LovaszSoftmaxLoss')


@all_losses
def test_kernels_can_be_turned_off(cfg, batch, monkeypatch):
    loss, turned_off = build(cfg, kernels=False), []
    region_loss = loss.region_loss
    monkeypatch.setattr(
        loss, 'region_loss', lambda *args: turned_off.append(_off()) or region_loss(*args)
    )
    assert torch.equal(loss(*batch), build(cfg)(*batch))
    assert turned_off and all(turned_off) and not _off()


def _off():
    return getattr(available._thread, 'without_kernels', False)


@all_losses
def test_half_precision_is_computed_in_float32(cfg, batch):
    logits, label = batch[0].bfloat16(), batch[1]
    value, grad = value_and_gradient(build(cfg), logits, label)
    expected, expected_grad = value_and_gradient(build(cfg), logits.float(), label)
    assert value.dtype == torch.float32 and grad.dtype == torch.bfloat16
    assert torch.equal(value, expected)
    # the gradients of two parts add up in half precision
    torch.testing.assert_close(grad, expected_grad.bfloat16())


@all_losses
def test_upsampled_logits(cfg):
    low, label = draw_batch(shape=(2, NUM_CLASSES, 5, 6))[0], draw_batch()[1]
    resized = F.interpolate(low, size=label.shape[1:], mode='bilinear', align_corners=False)
    logits = UpsampledLogits(low, label.shape[1:], align_corners=False)
    torch.testing.assert_close(build(cfg)(logits, label), build(cfg)(resized, label))


@all_losses
def test_no_host_sync_in_a_training_step(cfg, batch):
    loss = build(cfg, check_labels=False, class_weight=WEIGHTS).to('meta')
    logits, label = batch[0].to('meta').requires_grad_(), batch[1].to('meta')
    with NoHostSync():
        loss(logits, label).backward()
    assert logits.grad.shape == logits.shape


@pytest.mark.parametrize('cfg', [TVERSKY, UNIFIED], ids=name)
def test_compiles_without_a_graph_break(cfg, batch):
    torch._dynamo.reset()
    batch[0][(batch[1] == 255)[:, None].expand_as(batch[0])] = torch.nan
    compiled = torch.compile(build(cfg), fullgraph=True, backend='aot_eager')
    for found, expected in zip(
        value_and_gradient(compiled, *batch), value_and_gradient(build(cfg), *batch), strict=True
    ):
        torch.testing.assert_close(found, expected)


@all_losses
def test_misuse_is_named(cfg, batch):
    for kwargs, error in (
        (dict(weight=torch.ones(2, 9, 11)), 'no losses of single pixels'),
        (dict(reduction_override='max'), 'must be one of'),
        (dict(avg_factor=3, reduction_override='sum'), 'avg_factor needs per_image'),
    ):
        with pytest.raises(ValueError, match=error):
            build(cfg)(*batch, **kwargs)
    for classes, error in (('some', "'present', 'all'"), ([], 'not be empty'), ([5], 'has 5')):
        with pytest.raises(ValueError, match=error):
            build(cfg, classes=classes)(*batch)
