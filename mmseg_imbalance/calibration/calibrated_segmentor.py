"""Segmentors that add class offsets to their logits."""

import torch
from mmseg.models.decode_heads import Mask2FormerHead, MaskFormerHead, SideAdapterCLIPHead
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.segmentors import CascadeEncoderDecoder, EncoderDecoder
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..utils.errors import FileError, ToolError
from ..utils.precise_buffers import PreciseBuffers
from ..utils.predicted_classes import predicting_head
from .class_offsets import ClassOffsets

_OF_QUERIES = (Mask2FormerHead, MaskFormerHead, SideAdapterCLIPHead)


def predicts_scores(segmentor: nn.Module) -> bool:
    """Whether a segmentor predicts by scores ≥ 0, summed over queries, and not by logits.

    Raises:
        ToolError: If it is unknown what its head predicts, or if the head has one channel.
    """
    head = predicting_head(segmentor)
    kind = type(head).__name__
    if getattr(head, 'out_channels', None) == 1:
        raise ToolError(
            f'{kind} has one channel for two classes, which no offset per class can calibrate: '
            'change its threshold instead'
        )
    if isinstance(head, _OF_QUERIES):
        return True
    if not isinstance(head, BaseDecodeHead):
        raise ToolError(
            f'{kind} cannot be calibrated: only heads that inherit from BaseDecodeHead, '
            'MaskFormerHead or Mask2FormerHead are known to predict by logits or by scores'
        )
    return False


def additive_logits(segmentor: nn.Module, seg_logits: Tensor) -> Tensor:
    """Returns what offsets are added to: logits as they are, scores of queries by their logarithm.

    Args:
        segmentor: The segmentor.
        seg_logits: What it predicts, any shape.

    Raises:
        ToolError: As in :func:`predicts_scores`.
    """
    if not predicts_scores(segmentor):
        return seg_logits
    return seg_logits.float().clamp_min(torch.finfo(torch.float32).tiny).log()


class CalibratedSegmentor(PreciseBuffers):
    """Makes a segmentor add class offsets to its logits before the arg-max.

    It goes before the class of the segmentor: ``class Mine(CalibratedSegmentor, Segmentor)``.
    :class:`CalibratedEncoderDecoder` and :class:`CalibratedCascadeEncoderDecoder` are ready for
    use. The config of a trained network takes one more line::

        custom_imports = dict(imports=['mmseg_imbalance'], allow_failed_imports=False)
        model = dict(type='CalibratedEncoderDecoder', offsets='work_dirs/offsets.json')

    It inherits from the segmentor rather than wrapping it, so that its weights keep their names,
    and all that asks for its head, its ``test_cfg`` or its number of classes finds them. A hook
    would be missing where there is no runner: in MMSegInferencer and in exports.

    The offsets are no weights: they are neither saved nor loaded with them. They are part of
    ``seg_logits`` and ``pred_sem_seg`` of ``mode='predict'``, also of the views that test-time
    augmentation averages, and of the logits of ``mode='tensor'``, which are exported. Losses do
    without them. Heads of queries (MaskFormer, Mask2Former, SAN) predict by scores ≥ 0. There the
    offset is added to the logarithm of the score: the score is multiplied by the exponential of the
    offset; test-time augmentation averages a soft-max of the scores, which is then sharper. Their
    ``mode='tensor'`` has no scores of classes, and is refused. MMDeploy replaces ``predict``, so
    that its exports lack the offsets; export ``mode='tensor'`` otherwise.

    Args:
        offsets (str): File from ``tools/analysis_tools/calibrate_classes.py``.
        **kwargs: Arguments of the segmentor.

    Raises:
        FileError: If the file cannot be read, or is for other classes than the model's: at once if
            their number differs, else as soon as ``dataset_meta`` of a checkpoint is known. Where a
            runner tests, :class:`ConsistencyHook` compares the names.
        ToolError: For heads with one channel and for unknown ones, see :func:`predicts_scores`.
    """

    def __init__(self, offsets: str, **kwargs) -> None:
        super().__init__(**kwargs)
        found = ClassOffsets.load(offsets)
        self.offset_classes = tuple(found.classes)
        self._source, self._dataset_meta = offsets, None
        if len(found.classes) != self.num_classes:
            raise FileError(
                f'{offsets} has offsets of {len(found.classes)} classes, the model predicts '
                f'{self.num_classes}'
            )
        self._scores = predicts_scores(self)
        values = torch.tensor(found.offsets)[:, None, None]
        self.register_buffer('class_offsets', values, persistent=False)

    @property
    def dataset_meta(self) -> dict | None:
        """Names and colours of the classes, which inference sets."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, meta: dict) -> None:
        names = tuple(map(str, meta.get('classes') or ()))
        if names != self.offset_classes:
            raise FileError(
                f'{self._source} has offsets of the classes {", ".join(self.offset_classes)}, but '
                f'the model is said to have {", ".join(names) or "no names"} (by '
                'meta.dataset_meta of its checkpoint, if that has one); name a file that was made '
                'for this model'
            )
        self._dataset_meta = meta

    def postprocess_result(self, seg_logits: Tensor, data_samples: list | None = None) -> list:
        """Adds the offsets to (N, C, H, W), then does what the segmentor does."""
        if self._scores:
            seg_logits = seg_logits * self.class_offsets.exp()
        else:
            seg_logits = seg_logits + self.class_offsets
        return super().postprocess_result(seg_logits, data_samples)

    def _forward(self, inputs: Tensor, data_samples: list | None = None) -> Tensor:
        output = super()._forward(inputs, data_samples)
        if self._scores or not isinstance(output, Tensor):
            raise ToolError(
                f"mode='tensor' of {type(self.decode_head).__name__} gives no logits of classes, "
                "to which offsets could be added; use mode='predict'"
            )
        return output + self.class_offsets


@MODELS.register_module()
class CalibratedEncoderDecoder(CalibratedSegmentor, EncoderDecoder):
    """:class:`CalibratedSegmentor` of MMSegmentation's EncoderDecoder, the type of most configs."""


@MODELS.register_module()
class CalibratedCascadeEncoderDecoder(CalibratedSegmentor, CascadeEncoderDecoder):
    """:class:`CalibratedSegmentor` of CascadeEncoderDecoder, such as of OCRNet and PointRend."""
