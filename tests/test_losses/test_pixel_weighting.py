"""What all losses share: the contract with the heads, precision, checks, compilation."""

import pytest
import torch
import torch.nn.functional as F
from batches import NUM_CLASSES, NoHostSync, draw_batch, value_and_gradient
from loss_configs import loss_configs, name
from mmengine.structures import PixelData
from mmseg.registry import MODELS, TASK_UTILS
from mmseg.structures import SegDataSample
from tiny_statistics import make_statistics

from mmseg_imbalance.losses import PixelWeightingLoss
from mmseg_imbalance.losses.upsampled_logits import UpsampledLogits
from mmseg_imbalance.ops import pixel_cross_entropy
from mmseg_imbalance.statistics import class_weights
from mmseg_imbalance.statistics.class_weights import METHODS

LOSSES = loss_configs(NUM_CLASSES)
all_losses = pytest.mark.parametrize('cfg', LOSSES, ids=name)


@pytest.fixture
def batch():
    return draw_batch()


def build(cfg, **kwargs):
    return MODELS.build(dict(cfg, **kwargs))


@all_losses
def test_weights_of_ignored_pixels_are_not_looked_at(cfg, batch):
    logits, label = batch
    weight = torch.rand(label.shape)
    value, grad = value_and_gradient(build(cfg), logits, label, weight=weight)
    for junk in (torch.nan, torch.inf, -1):
        junk_weight = torch.where(label == 255, junk, weight)
        junk_value, junk_grad = value_and_gradient(build(cfg), logits, label, weight=junk_weight)
        torch.testing.assert_close(junk_value, value)
        torch.testing.assert_close(junk_grad, grad)


@pytest.mark.elsewhere
@all_losses
@pytest.mark.parametrize('dtype', (torch.bfloat16, torch.float16))
def test_half_precision_is_computed_in_float32(cfg, dtype, batch):
    logits, label = batch[0].to(dtype), batch[1]
    value, grad = value_and_gradient(build(cfg), logits, label)
    expected, expected_grad = value_and_gradient(build(cfg), logits.float(), label)
    assert value.dtype == torch.float32 and grad.dtype == dtype
    assert torch.equal(value, expected)
    torch.testing.assert_close(grad, expected_grad.to(dtype))
    with torch.autocast('cpu', torch.bfloat16):
        autocast = build(cfg)(logits, label)
    assert autocast.dtype == torch.float32 and torch.equal(autocast, expected)


@pytest.mark.elsewhere
@all_losses
def test_compiles_without_a_graph_break(cfg, batch):
    """And neither path lets through what ignored pixels hold."""
    torch._dynamo.reset()
    batch[0][(batch[1] == 255)[:, None].expand_as(batch[0])] = torch.nan
    compiled = torch.compile(build(cfg), fullgraph=True, backend='aot_eager')
    value, grad = value_and_gradient(compiled, *batch)
    expected, expected_grad = value_and_gradient(build(cfg), *batch)
    assert grad.isfinite().all()
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(grad, expected_grad)


@pytest.mark.elsewhere
@pytest.mark.parametrize('type_', ['LossMaxPooling', 'RecallLoss'])
def test_compiles_for_images_of_more_sizes_than_graphs_are_kept(type_):
    torch._dynamo.reset()
    loss = build(dict(type=type_))
    compiled = torch.compile(loss, fullgraph=True, backend='eager')
    for size in range(20, 30):
        logits, label = torch.randn(2, 3, size, size + 2), torch.randint(3, (2, size, size + 2))
        torch.testing.assert_close(compiled(logits, label), loss(logits, label))


@all_losses
def test_weights_of_pixels_have_any_dtype(cfg, batch):
    weight = torch.randint(3, batch[1].shape)
    expected = build(cfg)(*batch, weight=weight.float())
    for dtype in (torch.int64, torch.float64, torch.float16):
        assert torch.equal(build(cfg)(*batch, weight=weight.to(dtype)), expected)


@pytest.mark.elsewhere
@all_losses
def test_no_host_sync_in_a_training_step(cfg, batch):
    loss = build(cfg, check_labels=False, class_weight=[1.0, 2, 3, 4, 5]).to('meta')
    logits, label = batch[0].to('meta').requires_grad_(), batch[1].to('meta')
    with NoHostSync():
        loss(logits, label, weight=torch.rand(label.shape, device='meta')).backward()
    assert logits.grad.shape == logits.shape


def test_the_sync_detector_detects():
    x = torch.arange(4)
    for sync in (lambda: x.max().item(), lambda: x[x > 1], lambda: x.unique(), lambda: x.nonzero()):
        with pytest.raises(AssertionError, match='waits'), NoHostSync():
            sync()
    with pytest.raises(RuntimeError):  # what is there has no value to wait for
        bool(torch.ones(1, device='meta').any())


@pytest.mark.parametrize('cfg', {cfg['type']: cfg for cfg in LOSSES}.values(), ids=name)
def test_compiled_pass_over_the_logits(cfg, batch):
    """By inductor, the back end that users get; to the precision of its exponential."""
    torch._dynamo.reset()
    if 'pixel_loss' in cfg:
        cfg = dict(cfg, pixel_loss=dict(cfg['pixel_loss'], compile=True))
    value, grad = value_and_gradient(build(cfg, compile=True), *batch)
    expected, expected_grad = value_and_gradient(build(cfg), *batch)
    torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(grad, expected_grad, rtol=1e-4, atol=1e-7)


@pytest.mark.elsewhere
@all_losses
def test_upsampled_logits(cfg):
    """Those that are never made give what those give that are."""
    low, label = draw_batch(shape=(2, NUM_CLASSES, 5, 6))[0], draw_batch()[1]
    if cfg['type'] == 'RecallLoss':
        low = low.round()  # no two logits of a pixel nearly the same, or they swap by rounding
    x = low.clone().requires_grad_()
    resized = F.interpolate(x, size=label.shape[1:], mode='bilinear', align_corners=False)
    expected = build(cfg)(resized, label)
    (expected_grad,) = torch.autograd.grad(expected, x)

    def fused(logits, label):
        return build(cfg)(UpsampledLogits(logits, label.shape[1:], align_corners=False), label)

    value, grad = value_and_gradient(fused, low, label)
    torch.testing.assert_close(value, expected.detach(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(grad, expected_grad, rtol=1e-4, atol=1e-6)


def test_losses_of_a_head_share_the_pass_over_upsampled_logits(monkeypatch):
    passes = []

    def count(*args, **kwargs):
        passes.append(kwargs['shift'])
        return pixel_cross_entropy(*args, **kwargs)

    monkeypatch.setattr('mmseg_imbalance.losses.upsampled_logits.pixel_cross_entropy', count)
    low, label = draw_batch(shape=(2, NUM_CLASSES, 5, 6))[0], draw_batch()[1]
    logits = UpsampledLogits(low, label.shape[1:], align_corners=False)
    for cfg in LOSSES:
        build(cfg)(logits, label)
    # every logit adjustment has its own
    assert [shift is None for shift in passes] == [True, False, False]
    build(LOSSES[0])(logits, label.clone())  # other labels, another pass
    build(LOSSES[0])(logits.detach(), label)
    assert len(passes) == 5


@pytest.mark.parametrize('inference', (False, True))
def test_labels_that_were_changed_in_place_are_scored_anew(inference):
    loss = MODELS.build(dict(type='RecallLoss'))
    with torch.inference_mode(inference):
        low, label = draw_batch(shape=(2, NUM_CLASSES, 5, 6))[0].detach(), draw_batch()[1].clone()
        logits = UpsampledLogits(low, label.shape[1:], align_corners=False)
        before = loss(logits, label)
        label[label == 2] = 1
        torch.testing.assert_close(loss(logits, label), loss(logits.resized(), label))
        assert loss(logits, label) != before


@pytest.mark.gpu
@pytest.mark.filterwarnings('ignore::UserWarning')  # PyTorch's, of this mode and while compiling
@pytest.mark.parametrize('compile', (False, True))
@pytest.mark.parametrize('fused', (False, True))
@all_losses
def test_no_host_sync_on_a_gpu(cfg, fused, compile, batch):
    loss = build(cfg, class_weight=[1.0, 2, 3, 4, 5], compile=compile).cuda()
    logits, label = batch[0].cuda().requires_grad_(), batch[1].cuda()

    def step():
        logits.grad = None
        seen = UpsampledLogits(logits, label.shape[1:], False, compile) if fused else logits
        loss(seen, label).backward()

    step()  # compiles, and makes the matrices of upsampling
    try:
        torch.cuda.set_sync_debug_mode('error')
        step()
    finally:
        torch.cuda.set_sync_debug_mode('default')
    expected, expected_grad = value_and_gradient(build(cfg, class_weight=[1.0, 2, 3, 4, 5]), *batch)
    if 'momentum' not in cfg:  # which remembers the first step
        torch.testing.assert_close(logits.grad.cpu(), expected_grad, rtol=1e-4, atol=1e-7)


@pytest.mark.gpu
@all_losses
def test_a_step_can_be_captured_in_a_graph(cfg, batch):
    loss = build(cfg).cuda()
    logits, label = batch[0].cuda().requires_grad_(), batch[1].cuda()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            logits.grad = None
            loss(logits, label).backward()
    torch.cuda.current_stream().wait_stream(stream)
    logits.grad = None
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        value = loss(logits, label)
        value.backward()
    with torch.no_grad():
        logits.mul_(0.5)
    graph.replay()
    if 'momentum' not in cfg:
        expected, expected_grad = value_and_gradient(build(cfg), batch[0] * 0.5, batch[1])
        torch.testing.assert_close(value.cpu(), expected, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(logits.grad.cpu(), expected_grad, rtol=1e-4, atol=1e-7)


@all_losses
def test_class_weight_multiplies_the_pixel_loss(cfg, batch):
    weights = [0.5, 1.0, 2.0, 3.0, 0.0]
    pixels = torch.tensor([*weights, 0.0])[torch.where(batch[1] == 255, 5, batch[1])]
    by_class = build(cfg, class_weight=weights)(*batch, reduction_override='none')
    unweighted = build(cfg, class_weight=None)
    by_pixel = unweighted(*batch, weight=pixels, reduction_override='none')
    torch.testing.assert_close(by_class, by_pixel)


@pytest.mark.parametrize('class_weight', ([1.0, 2.0], 'median_frequency'))
def test_class_weight_is_configuration_and_not_in_checkpoints(class_weight):
    loss = build(LOSSES[0], class_weight=class_weight)
    assert not loss.state_dict()
    loss.use_statistics(make_statistics([[5, 3]]))
    assert not loss.state_dict()
    loss.load_state_dict({})  # of any checkpoint


# of all pixels 60 %, 30 %, 0 and 10 %
STATISTICS = make_statistics([[40, 0, 0, 0, 1], [10, 10, 0, 0, 1], [10, 20, 0, 10, 1]])


@pytest.mark.parametrize('method', METHODS)
@all_losses
def test_class_weight_by_the_name_of_a_method(cfg, method, batch):
    loss = build(cfg, class_weight=method)
    assert loss.needs_statistics
    with pytest.raises(
        RuntimeError, match=r'class_weight .* have not been counted yet.*ClassStatistics'
    ):
        loss(*batch)
    weights = class_weights(STATISTICS, method)
    assert loss.use_statistics(STATISTICS) == {f'class_weight ({method})': weights}
    given = build(cfg, class_weight=weights)
    assert not given.needs_statistics
    torch.testing.assert_close(loss(*batch), given(*batch))


def test_given_class_weights_are_not_replaced():
    loss = build(LOSSES[0], class_weight=[1.0, 2, 3, 4, 5])
    assert loss.use_statistics(STATISTICS) == {}
    assert loss.class_weight.tolist() == [1, 2, 3, 4, 5]


def test_statistics_of_another_number_of_classes_are_named(batch):
    named = build(LOSSES[0], class_weight='enet', num_classes=5)
    with pytest.raises(ValueError, match='class_weight has 2 entries for 5 classes'):
        named.use_statistics(make_statistics([[5, 3]]))
    with pytest.raises(RuntimeError, match='have not been counted yet'):
        named(*batch)
    taken_from_the_logits = build(LOSSES[0], class_weight='enet')
    taken_from_the_logits.use_statistics(make_statistics([[5, 3]]))
    with pytest.raises(ValueError, match='class_weight has 2 entries for 5 classes'):
        taken_from_the_logits(*batch)


def test_computed_class_weights_follow_the_model():
    loss = build(LOSSES[0], class_weight='enet').double()
    loss.use_statistics(STATISTICS)
    assert loss.class_weight.dtype == torch.float64
    assert loss.float().class_weight.dtype == torch.float32
    assert loss.to('meta').class_weight.device.type == 'meta'


@all_losses
def test_misuse_is_named(cfg, batch):
    logits, label = batch
    loss = build(cfg)
    with pytest.raises(ValueError, match=r'seg_logits must be \(N, C, H, W\)'):
        loss(logits[0], label)
    with pytest.raises(ValueError, match=r'seg_label must be \(N, H, W\).*use seg_label\[:, 0\]'):
        loss(logits, label[:, None])
    wrap = r'UpsampledLogits\(seg_logits, seg_label.shape\[1:\], align_corners=False\)'
    with pytest.raises(ValueError, match=rf'seg_label must be \(N, H, W\).*{wrap}$'):
        loss(logits, label[..., :-1])
    upsampled = UpsampledLogits(logits, label.shape[1:], align_corners=False)
    with pytest.raises(ValueError, match=r'seg_label must be \(N, H, W\).*got \(2, 9, 10\)$'):
        loss(upsampled, label[..., :-1])
    for dtype in (torch.float32, torch.uint8, torch.int32):
        with pytest.raises(TypeError, match='seg_label must be int64'):
            loss(logits, label.to(dtype))
    with pytest.raises(TypeError, match='seg_label must be a tensor, got ndarray'):
        loss(logits, label.numpy())
    with pytest.raises(ValueError, match='weight must be'):
        loss(logits, label, weight=torch.ones(3))
    with pytest.raises(ValueError, match='reduction_override'):
        loss(logits, label, reduction_override='max')
    with pytest.raises(ValueError, match='avg_factor'):
        loss(logits, label, avg_factor=3, reduction_override='sum')
    with pytest.raises(ValueError, match='2 entries'):
        build(cfg, class_weight=[1.0, 2.0])(logits, label)
    with pytest.raises(ValueError, match='2 entries for 5 classes'):
        build(cfg, class_weight=[1.0, 2.0], num_classes=5)
    with pytest.raises(ValueError, match='5 channels, but num_classes=4|5 entries for 4 classes'):
        build(cfg, num_classes=4)(logits, label)


@all_losses
def test_labels_out_of_range_are_named(cfg, batch):
    logits, label = batch
    label[0, 0, 0] = NUM_CLASSES
    with pytest.raises(ValueError, match='label 5 is neither a class'):
        build(cfg)(logits, label)
    label[0, 0, 0] = -3
    with pytest.raises(ValueError, match='label -3 is neither a class'):
        build(cfg, check_labels=True)(logits, label)


def head(loss_decode, **kwargs):
    return MODELS.build(
        dict(
            type='mmseg.FCNHead', in_channels=8, channels=8, num_convs=1, concat_input=False,
            num_classes=NUM_CLASSES, loss_decode=loss_decode, **kwargs,
        )
    )  # fmt: skip


def samples(label):
    return [SegDataSample(gt_sem_seg=PixelData(data=one[None])) for one in label]


@pytest.mark.elsewhere
@all_losses
def test_in_a_decode_head(cfg, batch):
    features = (torch.randn(2, 8, 5, 6),)
    decode_head = head(dict(cfg, loss_weight=0.7))
    losses = decode_head.loss(features, samples(batch[1]), {})
    (name,) = [key for key in losses if key.startswith('loss')]
    assert name == decode_head.loss_decode.loss_name
    losses[name].backward()
    assert decode_head.conv_seg.weight.grad.abs().sum() > 0


def test_in_a_list_with_other_losses(batch):
    decode_head = head(
        [
            dict(type='LossMaxPooling', loss_weight=0.5, loss_name='loss_first'),
            dict(type='RecallLoss'),
            dict(type='CrossEntropyLoss', avg_non_ignore=True),
            dict(type='LossMaxPooling', loss_weight=0.5, loss_name='loss_first'),
        ]
    )
    decode_head.eval()
    logits = torch.randn(2, NUM_CLASSES, 9, 11)
    losses = decode_head.loss_by_feat(logits, samples(batch[1]))
    assert set(losses) == {'loss_first', 'loss_recall', 'loss_ce', 'acc_seg'}
    torch.testing.assert_close(losses['loss_first'], build(LOSSES[0])(logits, batch[1]))
    expected = F.cross_entropy(logits, batch[1], ignore_index=255)
    torch.testing.assert_close(losses['loss_ce'], expected)


@pytest.mark.elsewhere
@all_losses
def test_with_the_hard_example_pixel_sampler(cfg, batch):
    """OHEM without a threshold calls the loss for single pixels, then passes their weights."""
    assert 'OHEMPixelSampler' in TASK_UTILS.module_dict
    decode_head = head(cfg, sampler=dict(type='OHEMPixelSampler', min_kept=20))
    losses = decode_head.loss((torch.randn(2, 8, 9, 11),), samples(batch[1]), {})
    value = losses[decode_head.loss_decode.loss_name]
    assert value.isfinite() and value > 0


@pytest.mark.parametrize('cfg', loss_configs(2), ids=str)
def test_one_channel_is_refused_by_its_shape(cfg):
    """Its soft-max is 1 whatever the logits: loss and gradient would be 0, accuracy 100 %."""
    logits = torch.randn(2, 1, 4, 4, device='meta')  # without values, as a GPU would not wait
    with pytest.raises(ValueError, match='1 channel.*num_classes=2 and out_channels=2'):
        MODELS.build(cfg)(logits, torch.zeros(2, 4, 4, dtype=torch.int64, device='meta'))
    with pytest.raises(ValueError, match='num_classes is 1.*out_channels=2'):
        MODELS.build(dict(cfg, num_classes=1))


def test_a_name_that_is_not_trained_is_refused():
    with pytest.raises(ValueError, match="must contain 'loss', got 'lmp'.*'loss_lmp'"):
        MODELS.build(dict(type='LossMaxPooling', loss_name='lmp'))


def test_weights_that_are_the_losses_have_no_gradient(batch):
    class SelfWeighted(PixelWeightingLoss):
        def weigh(self, scores, seg_label, valid):
            return scores.loss, valid.sum()[None]

    logits, label = batch[0].requires_grad_(), batch[1]
    losses = F.cross_entropy(logits, label, ignore_index=255, reduction='none')
    expected = (losses.detach() * losses).sum() / (label != 255).sum()
    value = SelfWeighted()(logits, label)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(
        *(torch.autograd.grad(loss, logits)[0] for loss in (value, expected))
    )
