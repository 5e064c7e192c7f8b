"""What a calibrated segmentor predicts, and what it refuses."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.model import BaseModule
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.models.decode_heads import Mask2FormerHead
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmseg_imbalance.calibration import ClassOffsets
from mmseg_imbalance.calibration.calibrated_segmentor import additive_logits
from mmseg_imbalance.utils.errors import BadFileError, FileError, ToolError

CLASSES, OFFSETS = ['road', 'pole', 'sign'], [-1.5, 0.25, 2.0]


class PixelHead(BaseDecodeHead):
    """One convolution of the image."""

    def forward(self, inputs):
        return self.cls_seg(self._transform_inputs(inputs))


class QueryHead(Mask2FormerHead):
    """Scores of queries, without MMDetection."""

    def __init__(self, num_classes, **kwargs):
        BaseModule.__init__(self)
        self.num_classes = self.out_channels = num_classes
        self.align_corners = False

    def forward(self, inputs):
        return [inputs], [inputs]

    def predict(self, inputs, batch_img_metas, test_cfg):
        return inputs[0].sigmoid()


class OwnHead(BaseModule):
    """Predicts nobody knows what."""

    __init__, forward = QueryHead.__init__, QueryHead.forward


@MODELS.register_module(force=True)
class AsItIs(BaseModule):
    """A backbone whose feature is the image."""

    def forward(self, inputs):
        return [inputs]


@pytest.fixture
def offsets_file(tmp_path):
    ClassOffsets(CLASSES, OFFSETS, dict(kind='class')).save(tmp_path / 'offsets.json')
    return str(tmp_path / 'offsets.json')


def build(kind='EncoderDecoder', head=PixelHead, head_options=(), **kwargs):
    init_default_scope('mmseg')
    options = dict(in_channels=3, channels=3, num_classes=3, dropout_ratio=0) | dict(head_options)
    head = dict(type=head, **options)
    if 'Cascade' in kind:
        kwargs |= dict(num_stages=2)
        head = [head, dict(type=CascadePixelHead, **options)]
    torch.manual_seed(0)
    test_cfg = ConfigDict(mode='whole')
    cfg = dict(type=kind, backbone=dict(type='AsItIs'), decode_head=head, test_cfg=test_cfg)
    return MODELS.build(dict(cfg, **kwargs)).eval()


class CascadePixelHead(PixelHead):
    """The same, after another head."""

    def forward(self, inputs, before):
        return super().forward(inputs) + before

    def predict(self, inputs, before, metas, test_cfg):
        return self.predict_by_feat(self.forward(inputs, before), metas)


def predict(model, images):
    flipped = dict(flip=True, flip_direction='horizontal', ori_shape=(12, 16), img_shape=(6, 8))
    samples = [SegDataSample(metainfo=flipped) for _ in images]
    with torch.no_grad():
        results = model(images, samples, mode='predict')
    return [
        torch.stack([result.get(key).data for result in results])
        for key in ('seg_logits', 'pred_sem_seg')
    ]


@pytest.mark.elsewhere
@pytest.mark.parametrize('kind', ('EncoderDecoder', 'CascadeEncoderDecoder'))
def test_logits_are_shifted_in_every_mode_and_weights_keep_their_names(kind, offsets_file):
    bare, images = build(kind), torch.randn(2, 3, 6, 8)
    calibrated = build(f'Calibrated{kind}', offsets=offsets_file)
    assert list(calibrated.state_dict()) == list(bare.state_dict())
    calibrated.load_state_dict(bare.state_dict())
    shift = torch.tensor(OFFSETS)[:, None, None]

    (before, _), (after, label) = predict(bare, images), predict(calibrated, images)
    torch.testing.assert_close(after, before + shift)
    assert (label[:, 0] == (before + shift).argmax(1)).all()
    assert (label[:, 0] != before.argmax(1)).any()
    copied = deepcopy(calibrated).to(torch.float64)
    exact = predict(copied, images.double())[0]
    torch.testing.assert_close(exact, after.double(), rtol=1e-4, atol=1e-5)

    with torch.no_grad():
        torch.testing.assert_close(calibrated(images), bare(images) + shift)
        exported = torch.jit.trace(calibrated, images)
        torch.testing.assert_close(exported(2 * images), bare(2 * images) + shift)


def test_offsets_are_not_rounded_to_half_precision(offsets_file):
    bare, images = build().bfloat16(), torch.randn(2, 3, 6, 8).bfloat16()
    calibrated = build('CalibratedEncoderDecoder', offsets=offsets_file).bfloat16()
    calibrated.load_state_dict(bare.state_dict())
    shift = torch.tensor(OFFSETS)[:, None, None]
    with torch.no_grad():
        logits = bare(images)
        assert logits.dtype == torch.bfloat16
        torch.testing.assert_close(calibrated(images), logits.float() + shift, rtol=0, atol=0)
    assert predict(calibrated, images)[0].dtype == torch.float32


def test_losses_do_without_offsets(offsets_file):
    bare = build()
    calibrated = build('CalibratedEncoderDecoder', offsets=offsets_file)
    images, label = torch.randn(1, 3, 6, 8), torch.ones(1, 6, 8).long()
    sample = SegDataSample()
    sample.gt_sem_seg = PixelData(data=label)
    losses = [
        model(images, [sample], mode='loss')['decode.loss_ce'] for model in (bare, calibrated)
    ]
    assert losses[0].item() == losses[1].item()


def test_scores_of_queries_are_multiplied(offsets_file):
    model = build('CalibratedEncoderDecoder', QueryHead, offsets=offsets_file)
    images = torch.randn(2, 3, 6, 8)
    before, _ = predict(build(head=QueryHead), images)
    after, label = predict(model, images)
    shifted = additive_logits(model, before) + torch.tensor(OFFSETS)[:, None, None]
    torch.testing.assert_close(after.log(), shifted)
    torch.testing.assert_close(
        additive_logits(model, torch.tensor([0, 0.5])).exp(), torch.tensor([0, 0.5])
    )
    assert additive_logits(build(), before) is before
    assert (label[:, 0] == shifted.argmax(1)).all()
    with pytest.raises(ToolError, match="mode='tensor' of QueryHead gives no logits"):
        model(images)


@pytest.mark.parametrize(
    'head, options, message',
    (
        (
            PixelHead,
            dict(num_classes=2, out_channels=1, threshold=0.5),
            'PixelHead has one channel',
        ),
        (OwnHead, {}, 'OwnHead cannot be calibrated'),
    ),
)
def test_other_heads_are_refused(head, options, message, tmp_path):
    classes = CLASSES[: options.get('num_classes', 3)]
    ClassOffsets(classes, [0.0] * len(classes)).save(tmp_path / 'offsets.json')
    with pytest.raises(ToolError, match=message):
        build(
            'CalibratedEncoderDecoder', head, options, offsets=str(tmp_path / 'offsets.json')
        )  # fmt: skip


@pytest.mark.elsewhere
def test_other_classes_are_refused(offsets_file):
    model = build('CalibratedEncoderDecoder', offsets=offsets_file)
    model.dataset_meta = dict(classes=tuple(CLASSES), palette=[[0, 0, 0]] * 3)
    assert model.dataset_meta['classes'] == tuple(CLASSES)
    wanted = rf'{offsets_file} has offsets of the classes road, pole, sign, .* road, sign, pole \('
    with pytest.raises(FileError, match=wanted):
        model.dataset_meta = dict(classes=['road', 'sign', 'pole'])
    with pytest.raises(FileError, match='offsets of 3 classes, the model predicts 4'):
        build('CalibratedEncoderDecoder', head_options=dict(num_classes=4), offsets=offsets_file)


@pytest.mark.parametrize(
    'content, reason',
    (
        ('', 'Expecting value'),
        ('[1, 2]', 'no JSON object with classes and offsets'),
        ('{"classes": ["a", "b"], "offsets": [1]}', 'one number for each'),
        ('{"classes": ["a", "a"], "offsets": [1, 2]}', 'one number for each'),
        ('{"classes": ["a", "b"], "offsets": [1, NaN]}', 'offset of b is nan, no number'),
        ('{"classes": ["a", 1], "offsets": [1, 2]}', 'must be a list of names'),
        ('[' * 100_000, 'recursion'),
    ),
)
def test_damaged_files_are_named(content, reason, tmp_path):
    path = tmp_path / 'offsets.json'
    path.write_text(content)
    with pytest.raises(BadFileError, match=rf'offsets.json: cannot read .*{reason}'):
        ClassOffsets.load(path)
    with pytest.raises(BadFileError, match='No such file'):
        ClassOffsets.load(tmp_path / 'none.json')


def test_the_file_keeps_all_and_offsets_add_to_arrays_and_tensors(tmp_path):
    offsets = ClassOffsets(CLASSES, OFFSETS, dict(maximized='mIoU'))
    offsets.save(tmp_path / 'offsets.json')
    assert ClassOffsets.load(tmp_path / 'offsets.json') == offsets
    logits = torch.randn(2, 3, 4, 5)
    shifted = logits + torch.tensor(OFFSETS)[:, None, None]
    torch.testing.assert_close(offsets.add_to(logits), shifted)
    last = offsets.add_to(logits.movedim(1, -1).numpy(), axis=-1)
    np.testing.assert_array_equal(last, shifted.movedim(1, -1).numpy())
    large = (logits + 20).bfloat16()  # near 20, bfloat16 has every eighth
    torch.testing.assert_close(offsets.add_to(large), offsets.add_to(large.float()))
    with pytest.raises(ValueError, match=r'axis 1 of the logits \(2, 1, 4, 5\) .* the 3 classes'):
        offsets.add_to(logits[:, :1])
