"""Pictures of the weights while training: what is in them, and where they end up."""

import os

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.hooks import Hook
from mmseg.registry import HOOKS, MODELS
from mmseg.utils import register_all_modules
from tiny_data import CLASSES
from tiny_run import run, tiny_config
from two_ranks import on_two_ranks

from mmseg_imbalance.weighting.pixel_weight_figure import IGNORED, pixel_weight_figure
from mmseg_imbalance.weighting.pixel_weight_picture_hook import PixelWeightPictureHook, _padded_rgb
from mmseg_imbalance.weighting.record import WeightingRecorder, weigh

LMP, RECALL = dict(type='LossMaxPooling'), dict(type='RecallLoss')
CE = dict(type='CrossEntropyLoss')
PICTURE = dict(type='PixelWeightPictureHook', interval=2)


@pytest.fixture(autouse=True)
def registered():
    register_all_modules(init_default_scope=True)


@pytest.fixture
def drawn(monkeypatch):
    """What is drawn: rows and title of every picture."""
    pictures = []

    def draw(rows, classes, palette, title):
        assert tuple(classes) == CLASSES
        pictures.append((rows, title))
        return pixel_weight_figure(rows, classes, palette, title)

    monkeypatch.setattr('mmseg_imbalance.weighting.pixel_weight_figure.pixel_weight_figure', draw)
    return pictures


@HOOKS.register_module(force=True)
class KeepInputsHook(Hook):
    """Keeps the inputs of the network and of the loss in every iteration."""

    def before_train(self, runner):
        KeepInputsHook.kept, KeepInputsHook.losses = {}, []
        model = runner.model
        model.backbone.register_forward_pre_hook(lambda _, args: self._keep(images=args[0]))
        model.decode_head.loss_decode.register_forward_pre_hook(
            lambda _, args: self._keep(logits=args[0], label=args[1])
        )

    def _keep(self, **tensors):
        self.kept.update({name: tensor.detach().clone() for name, tensor in tensors.items()})

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        KeepInputsHook.losses.append(dict(self.kept))


def train(folder, loss, *hooks, **options):
    cfg = tiny_config(folder, loss=loss, **options)
    cfg.custom_hooks = [*hooks, dict(type='KeepInputsHook')]
    return run(cfg)


@pytest.mark.elsewhere
@pytest.mark.parametrize('loss', (LMP, RECALL, CE), ids=lambda loss: loss['type'])
def test_what_is_drawn_is_what_was_trained_on(tmp_path, drawn, loss):
    trained = train(tmp_path, loss, PICTURE)
    assert len(drawn) == 2
    mean, std = trained.model.data_preprocessor.mean, trained.model.data_preprocessor.std
    weighting = MODELS.build(LMP if loss is CE else loss)
    for (rows, title), step in zip(drawn, (2, 4), strict=True):
        kept = KeepInputsHook.losses[step - 1]
        assert len(rows) == 2
        relative = weigh(weighting, kept['logits'], kept['label']).relative_weight()
        losses = F.cross_entropy(
            kept['logits'], kept['label'], ignore_index=255, reduction='none'
        )  # fmt: skip
        for i, row in enumerate(rows):
            seen = (kept['images'][i] * std + mean).permute(1, 2, 0)  # RGB for the network
            padding = (kept['images'][i] == 0).all(0).numpy()
            np.testing.assert_allclose(row.image[~padding], seen.numpy()[~padding], atol=0.6)
            np.testing.assert_array_equal(row.label, kept['label'][i])
            np.testing.assert_array_equal(row.valid, kept['label'][i] != 255)
            np.testing.assert_array_equal(row.prediction, kept['logits'][i].argmax(0))
            np.testing.assert_allclose(row.pixel_loss, losses[i], rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(row.weight, relative[i], rtol=1e-5, atol=1e-6)
            assert len(row.name) == 5 and row.name.isdigit()
        assert title.startswith('trained with CrossEntropyLoss' if loss is CE else loss['type'])
        assert loss is RECALL or "LossMaxPooling(p=1.7, ratio=0.25, pool='image')" in title
    assert not np.array_equal(rows[0].image[..., 0], rows[0].image[..., 2])  # order matters
    assert not trained.model.decode_head.loss_decode._forward_hooks


def test_small_images_are_padded_as_their_labels(tmp_path, drawn):
    train(tmp_path, LMP, PICTURE, augment=False, model__data_preprocessor__size=(40, 48))
    row = drawn[0][0][0]
    assert row.image.shape == (40, 48, 3) and row.label.shape == (40, 48)
    outside = np.ones((40, 48), bool)
    outside[:32, :32] = False
    assert not row.valid[outside].any() and row.valid[:32, :32].all()
    assert (row.image[outside] == IGNORED).all()
    assert row.image[:32, :32].std() > 0


@pytest.mark.parametrize('channels', [1, 2, 5])
def test_images_of_any_depth_and_number_of_channels_are_shown(channels):
    """Such as radar of two channels, or 16-bit images."""
    image = torch.tensor([[0, 1000], [2000, 4000]]).expand(channels, 2, 2)
    expected = np.array([[0, 63], [127, 255]])
    for each in (image, image / 4000 - 1):
        assert np.array_equal(_padded_rgb(each, (2, 3))[:, :2], np.stack([expected] * 3, -1))
    assert not _padded_rgb(torch.ones(channels, 2, 2), (2, 2)).any()  # nothing to see


def test_settings(tmp_path, drawn):
    both = [CE, RECALL]
    aux = dict(PICTURE, interval=3, num_images=1, loss='decode_head.loss_decode.0')
    cfg = tiny_config(tmp_path, loss=both)
    cfg.custom_hooks = [dict(aux, fallback=dict(LMP, p=1, ratio=0.5)), PICTURE]
    run(cfg)
    counts = {title.partition('(')[0]: len(rows) for rows, title in drawn}
    assert counts == {
        'RecallLoss': 2,
        'trained with CrossEntropyLoss; weights that LossMaxPooling': 1,
    }
    assert any('LossMaxPooling(p=1.0, ratio=0.5' in title for _, title in drawn)
    assert len(drawn) == 3


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(interval=0), 'interval must be a number of iterations ≥ 1, got 0'),
        (dict(num_images=0), 'num_images must be ≥ 1, got 0'),
    ],
)
def test_bad_arguments_are_named(kwargs, message):
    with pytest.raises(ValueError, match=message):
        PixelWeightPictureHook(**kwargs)


@pytest.mark.parametrize('pooled', (False, True))
def test_fallback_that_needs_statistics_gets_them(tmp_path, drawn, pooled):
    fallback = dict(type='WeightedCrossEntropyLoss', class_weight='median_frequency')
    if pooled:
        fallback = dict(LMP, pixel_loss=dict(type='LogitAdjustedLoss'))
    train(tmp_path, CE, dict(PICTURE, fallback=fallback))
    assert drawn and all(fallback['type'] in title for _, title in drawn)


def test_fallback_that_weighs_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match='fallback must be a loss that weighs pixels, got Dice'):
        train(tmp_path, CE, dict(PICTURE, fallback=dict(type='DiceLoss')))


def test_loss_that_takes_no_part_is_named(tmp_path):
    cfg = tiny_config(tmp_path, loss=dict(LMP, pixel_loss=dict(type='SoftmaxFocalLoss')))
    # called for single pixels only
    cfg.custom_hooks = [dict(PICTURE, loss='decode_head.loss_decode.pixel_loss')]
    with pytest.raises(RuntimeError, match='pixel_loss took no part in the iteration'):
        run(cfg)


def test_one_channel_for_two_classes_is_weighed_as_the_sigmoid_has_it():
    loss = MODELS.build(dict(type='CrossEntropyLoss', use_sigmoid=True))
    recorder = WeightingRecorder(loss, MODELS.build(LMP))
    logits, label = torch.randn(2, 1, 5, 6), torch.randint(0, 2, (2, 5, 6))
    recorder.start()
    loss(torch.zeros_like(logits), label, reduction_override='none')  # not this one
    loss(logits, label)
    loss(torch.zeros_like(logits), label, reduction_override='none')
    kept = recorder.take()
    expected = F.binary_cross_entropy_with_logits(logits[:, 0], label.float(), reduction='none')
    torch.testing.assert_close(kept.pixel_loss, expected)
    assert recorder.take() is None
    recorder.close()
    recorder.start()
    loss(logits, label)
    assert recorder.take() is None  # it no longer listens


def test_compiled_loss_of_another_kind():
    loss = MODELS.build(CE)
    recorder = WeightingRecorder(loss, MODELS.build(LMP))
    compiled = torch.compile(loss, backend='eager')
    logits, label = torch.randn(2, 3, 5, 6), torch.randint(0, 3, (2, 5, 6))
    for i in range(4):
        if i % 2:
            recorder.start()
        compiled(logits * (1 + i), label)
        if i % 2:
            expected = F.cross_entropy(logits * (1 + i), label, reduction='none')
            torch.testing.assert_close(recorder.take().pixel_loss, expected)


def _train_of_rank(rank, folder):
    torch.set_num_threads(1)
    os.environ['LOCAL_RANK'] = str(rank)
    synced = dict(RECALL, sync=True)
    for name, loss in (('own', synced), ('stand-in', CE)):
        cfg = tiny_config(folder / name, loss=loss, launcher='pytorch')
        cfg.custom_hooks = [
            dict(PICTURE, interval=2, fallback=synced),
            dict(type='WeightingCurvesHook', interval=2),
        ]
        run(cfg)


def test_two_processes_draw_once_and_none_waits_for_ever(tmp_path):
    for name in ('own', 'stand-in'):
        tiny_config(tmp_path / name)  # writes the images
    on_two_ranks(_train_of_rank, tmp_path)
    for name in ('own', 'stand-in'):
        pictures = sorted(path.name for path in (tmp_path / name / 'run').rglob('pixel_w*.png'))
        assert pictures == ['pixel_weights_2.png', 'pixel_weights_4.png']
