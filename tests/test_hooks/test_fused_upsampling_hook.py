"""Heads that compute losses in stripes give what they gave, without the largest tensors."""

import copy
import json
import logging
import types

import pytest
import torch
from loss_configs import LMP, RECALL, loss_configs, name
from mmengine.structures import PixelData
from mmseg.models.losses import CrossEntropyLoss
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from mmseg.utils import register_all_modules
from tiny_run import run, tiny_config
from two_ranks import on_two_ranks

from mmseg_imbalance.hooks.fused_upsampling_hook import FusedUpsamplingHook
from mmseg_imbalance.losses.upsampled_logits import UpsampledLogits

NUM_CLASSES = 5
CE = dict(type='CrossEntropyLoss')
FOCAL = dict(type='SoftmaxFocalLoss')
COMMON = dict(channels=8, num_classes=NUM_CLASSES, dropout_ratio=0, norm_cfg=dict(type='BN'))
PYRAMID = dict(in_channels=[4, 8, 8, 16], in_index=[0, 1, 2, 3])
HEADS = [
    dict(type='FCNHead', in_channels=16, in_index=3),
    dict(type='ASPPHead', in_channels=16, in_index=3, dilations=(1, 2)),
    dict(type='PSPHead', in_channels=16, in_index=3, pool_scales=(1, 2)),
    dict(
        type='DepthwiseSeparableASPPHead', in_channels=16, in_index=3, dilations=(1, 2),
        c1_in_channels=4, c1_channels=4,
    ),
    dict(type='SegformerHead', **PYRAMID),
    dict(type='UPerHead', pool_scales=(1, 2), **PYRAMID),
]  # fmt: skip
ENCODING = dict(type='EncHead', in_channels=[16], in_index=[3], num_codes=4)
heads = pytest.mark.parametrize('head', HEADS, ids=lambda head: head['type'])
LOSSES = [
    *(dict(loss, num_classes=NUM_CLASSES) for loss in loss_configs(NUM_CLASSES)),
    CE,
    dict(CE, avg_non_ignore=True, loss_weight=0.4),
    [dict(CE, loss_weight=0.5), dict(LMP, loss_name='loss_ce')],
    [RECALL, LMP],
    [CE, dict(type='LovaszSoftmaxLoss')],
]


@MODELS.register_module(force=True)
class TripledCrossEntropy(CrossEntropyLoss):
    """Somebody's own."""

    def forward(self, *args, **kwargs):
        return 3 * super().forward(*args, **kwargs)


@pytest.fixture(autouse=True)
def registered():
    register_all_modules(init_default_scope=True)


def build_head(head=HEADS[0], loss=LMP, **kwargs):
    torch.manual_seed(0)
    return MODELS.build({**COMMON, 'loss_decode': loss, **head, **kwargs})


def fuse(model, **kwargs):
    hook = FusedUpsamplingHook(**kwargs)
    messages = []
    logger = types.SimpleNamespace(info=messages.append)
    hook.before_train(types.SimpleNamespace(model=model, logger=logger))
    return hook, messages


def draw(size=(33, 49), ignored=0.2):
    g = torch.Generator().manual_seed(1)
    # sizes that MMSegmentation's resize does not warn of with align_corners
    channels_and_sizes = [(4, (9, 13)), (8, (5, 7)), (8, (3, 4)), (16, (3, 4))]
    features = [torch.randn(2, c, *s, generator=g) for c, s in channels_and_sizes]
    label = torch.randint(0, NUM_CLASSES, (2, 1, *size), generator=g)
    label[torch.rand(label.shape, generator=g) < ignored] = 255
    samples = [SegDataSample(gt_sem_seg=PixelData(data=image)) for image in label]
    return features, samples


def step(head, features, samples):
    """The log of a training step, and the gradients of all parameters."""
    head.zero_grad()
    log = head.loss(features, samples, train_cfg=None)
    sum(value for key, value in log.items() if 'loss' in key).backward()
    return {k: v.detach() for k, v in log.items()}, {
        k: p.grad.clone() for k, p in head.named_parameters() if p.grad is not None
    }


def assert_same_steps(head, *batch, **kwargs):
    expected, expected_grads = step(copy.deepcopy(head), *batch)
    fuse(head, **kwargs)
    log, grads = step(head, *batch)
    assert log.keys() == expected.keys() and 'acc_seg' in log
    assert {k: v.shape for k, v in log.items()} == {k: v.shape for k, v in expected.items()}
    for key in log:
        torch.testing.assert_close(log[key], expected[key], rtol=1e-5, atol=1e-5)
    assert grads.keys() == expected_grads.keys()
    scale = max(grad.abs().max().item() for grad in expected_grads.values())
    for key, grad in grads.items():
        torch.testing.assert_close(grad, expected_grads[key], rtol=1e-4, atol=1e-6 * scale)


@pytest.mark.elsewhere
@heads
@pytest.mark.parametrize('loss', (CE, LMP, RECALL), ids=name)
@pytest.mark.parametrize('align_corners', (False, True))
def test_any_head_gives_what_it_gave(head, loss, align_corners):
    assert_same_steps(build_head(head, loss, align_corners=align_corners), *draw())


@pytest.mark.parametrize('loss', LOSSES, ids=str)
def test_every_loss_gives_what_it_gave(loss):
    assert_same_steps(build_head(loss=loss), *draw())


@pytest.mark.parametrize('loss', (CE, LMP, RECALL), ids=name)
def test_a_batch_without_a_labelled_pixel(loss):
    assert_same_steps(build_head(loss=loss), *draw(ignored=1.1))


def test_compiled_stripes():
    torch._dynamo.reset()
    assert_same_steps(build_head(), *draw(), compile=True)


class _Cascade(torch.nn.Module):
    """Two heads in a row, and an auxiliary one."""

    def __init__(self):
        super().__init__()
        second = dict(type='OCRHead', in_channels=16, in_index=3, ocr_channels=4)
        self.decode_head = torch.nn.ModuleList([build_head(), build_head(second, RECALL)])
        self.auxiliary_head = torch.nn.ModuleList([build_head(loss=CE)])

    def loss(self, features, samples, train_cfg):
        prev = torch.nn.functional.interpolate(features[0][:, :4], (3, 4)).repeat(1, 2, 1, 1)
        first, second, auxiliary = *self.decode_head, *self.auxiliary_head
        return {
            **first.loss(features, samples, None),
            **second.loss(features, prev[:, :NUM_CLASSES], samples, None),
            **auxiliary.loss(features, samples, None),
        }


@pytest.mark.elsewhere
def test_cascades_and_auxiliary_heads():
    assert_same_steps(_Cascade(), *draw())


def test_only_the_heads_that_are_named():
    model = _Cascade()
    hook, (message,) = fuse(model, heads=['decode_head.1', 'auxiliary_head.0'])
    assert message.endswith('of decode_head.1, auxiliary_head.0')
    changed = {
        path for path, m in model.named_modules() if {'loss_by_feat', 'forward'} & vars(m).keys()
    }
    assert changed == {'decode_head.1', 'auxiliary_head.0', 'auxiliary_head.0.loss_decode'}
    other = _Cascade()  # of the next training, after one that ended with an error
    hook.before_train(types.SimpleNamespace(model=other, logger=logging.getLogger()))
    assert not [m for m in model.modules() if {'loss_by_feat', 'forward'} & vars(m).keys()]
    assert 'loss_by_feat' in vars(other.decode_head[1])
    hook.after_train()
    assert not [m for m in other.modules() if {'loss_by_feat', 'forward'} & vars(m).keys()]


def test_an_ignored_class_is_not_right():
    assert_same_steps(build_head(ignore_index=2), *draw(ignored=0))


def test_a_listener_without_gradients_takes_none_from_the_losses():
    """As ClassFeedbackHook, which looks at the predictions beside the first loss of a head."""
    prior = dict(type='LogitAdjustedLoss', prior=[0.5, 0.3, 0.1, 0.05, 0.05])

    @torch.no_grad()
    def listen(module, args, kwargs, output=None):
        if isinstance(args[0], UpsampledLogits):
            args[0].predictions(args[1], kwargs['ignore_index'])

    for first in (prior, RECALL):
        before, after = (build_head(loss=[first, LMP]) for _ in range(2))
        before.loss_decode[0].register_forward_pre_hook(listen, with_kwargs=True)
        after.loss_decode[0].register_forward_hook(listen, with_kwargs=True)
        for head in (before, after):
            assert_same_steps(head, *draw())


def test_half_precision_is_upsampled_in_float32():
    head, (features, samples) = build_head(), draw()
    fuse(head)
    with torch.autocast('cpu', torch.bfloat16):
        half = head(features)
    assert half.dtype == torch.bfloat16
    with torch.autocast('cpu', torch.bfloat16):
        value = head.loss_by_feat(half, samples)['loss_lmp']
    assert value.dtype == torch.float32
    assert torch.equal(value, head.loss_by_feat(half.float(), samples)['loss_lmp'])


@pytest.mark.parametrize(
    ('head', 'loss', 'message'),
    [
        (ENCODING, CE, 'EncHead computes its loss in a way of'),
        (
            dict(HEADS[0], sampler=dict(type='OHEMPixelSampler', thresh=0.7)),
            CE,
            'samples pixels',
        ),
        (HEADS[0], dict(type='DiceLoss'), 'the loss DiceLoss, which needs the upsampled logits'),
        (
            HEADS[0],
            dict(CE, class_weight=[1.0] * 5),
            'use WeightedCrossEntropyLoss for them',
        ),
        (HEADS[0], dict(CE, use_sigmoid=True), 'not the mean of that of the soft-max'),
        (HEADS[0], dict(type='TripledCrossEntropy'), 'the loss TripledCrossEntropy, which needs'),
        (HEADS[0], [LMP, dict(CE, reduction='sum')], 'not the mean of that of the soft-max'),
        (
            HEADS[0],
            dict(LMP, pixel_loss=dict(type='CrossEntropyLoss')),
            'pools the pixel_loss CrossEntropyLoss, which needs the upsampled logits',
        ),
    ],
    ids=str,
)
def test_what_cannot_be_fused_is_named(head, loss, message):
    model = torch.nn.Module()
    model.auxiliary_head, model.decode_head = build_head(), build_head(head, loss)
    with pytest.raises(ValueError, match=f'cannot work for decode_head: .*{message}') as error:
        fuse(model)
    assert '`heads`' in str(error.value)
    assert 'loss_by_feat' not in vars(model.auxiliary_head)  # nothing is half done
    fuse(model, heads=['auxiliary_head'])


def test_a_head_that_is_not_there_is_named():
    model = torch.nn.Module()
    model.decode_head = build_head()
    with pytest.raises(ValueError, match='the model has no aux; the heads .*: decode_head$'):
        fuse(model, heads=['decode_head', 'aux'])
    with pytest.raises(ValueError, match='the model has no head; .*: none$'):
        fuse(torch.nn.Linear(2, 3))


HOOKS = [
    dict(type='ClassFeedbackHook', interval=2),
    dict(type='WeightingCurvesHook', interval=2),
    dict(type='PixelWeightPictureHook', interval=2),
    dict(type='NonFiniteLossHook'),
]
FUSED = dict(type='FusedUpsamplingHook')


@pytest.mark.elsewhere
@pytest.mark.parametrize('loss', (RECALL, CE), ids=name)
def test_trainings_are_the_same_to_rounding_with_all_hooks(loss, tmp_path):
    """Curves, pictures and counts of a fused training are those of the stock one."""
    curves = []
    for extra in ([], [FUSED]):
        folder = tmp_path / str(len(extra))
        cfg = tiny_config(folder, iters=4, loss=loss, custom_hooks=[*HOOKS, *extra])
        if loss is CE:  # has no weights to draw curves of
            cfg.custom_hooks = [hook for hook in cfg.custom_hooks if 'Curves' not in hook['type']]
        run(cfg)
        written = next((folder / 'run').rglob('scalars.json')).read_text().splitlines()
        curves.append(
            {
                (line['step'], key): value
                for line in map(json.loads, written)
                for key, value in line.items()
                if 'time' not in key and 'memory' not in key
            }
        )
        assert list((folder / 'run').rglob('*pixel_weights*.png'))
    stock, fused = curves
    assert stock.keys() == fused.keys() and any('recall' in key for _, key in stock)
    # Of two logits that are equal to rounding either may be the larger. Of some hundred pixels in a
    # class one more is then counted, which recall loss weighs by, and other losses do not.
    for key, value in stock.items():
        rounding = 1e-3 if 'loss' in key[1] and loss is not RECALL else 0.02
        assert fused[key] == pytest.approx(value, abs=rounding * max(abs(value), 1)), key


@pytest.mark.parametrize('loss', (LMP, CE), ids=name)
def test_a_non_finite_logit_is_found_at_its_pixel(loss, tmp_path):
    cfg = tiny_config(
        tmp_path, loss=loss, augment=False, custom_hooks=[dict(type='NonFiniteLossHook'), FUSED]
    )
    register_all_modules(init_default_scope=True)
    head_class = MODELS.get(cfg.model.decode_head.type)

    @MODELS.register_module(name='PoisonedHead', force=True)
    class PoisonedHead(head_class):
        def forward(self, inputs):
            logits = super().forward(inputs)
            poison = torch.zeros_like(logits)
            poison[1, 2, 0, 0] = torch.nan
            return logits + poison

    cfg.model.decode_head.type = 'PoisonedHead'
    message = r'iteration 1: loss_\w+ .* is nan: .*, row 0, column 0 of the crop, .*logits hold nan'
    with pytest.raises(FloatingPointError, match=message):
        run(cfg)


class _Stage(torch.nn.Module):
    """A segmentor that has a head and nothing else."""

    def __init__(self, head):
        super().__init__()
        self.decode_head = head

    def forward(self, features, samples):
        return self.decode_head.loss(features, samples, None)['loss_recall']


def _gradients_of_rank(rank, folder):
    register_all_modules(init_default_scope=True)
    features, samples = draw()
    mine = [f[rank : rank + 1] for f in features], samples[rank : rank + 1]
    for kind in ('stock', 'fused'):
        head = build_head(loss=dict(RECALL, sync=True))
        model = torch.nn.parallel.DistributedDataParallel(_Stage(head))
        if kind == 'fused':
            fuse(model)
        model(*mine).backward()
        gradients = [parameter.grad for parameter in head.parameters()]
        torch.save(gradients, folder / f'{kind} {rank}.pth')


def test_on_two_ranks(tmp_path):
    on_two_ranks(_gradients_of_rank, tmp_path)
    for rank in (0, 1):
        stock, fused = (torch.load(tmp_path / f'{kind} {rank}.pth') for kind in ('stock', 'fused'))
        assert max(grad.abs().max() for grad in stock) > 1e-3
        for own, expected in zip(fused, stock, strict=True):
            torch.testing.assert_close(own, expected, rtol=1e-4, atol=1e-6)
