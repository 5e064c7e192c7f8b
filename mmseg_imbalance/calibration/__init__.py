"""Better scores of rare classes without training again: offsets that are added to the logits."""

from ..registry import HAS_STACK
from .ascent import ascend
from .class_offsets import ClassOffsets
from .held_out_pixels import HeldOutPixels, PixelSample
from .objective import Objective
from .solve import Calibration, calibrate

__all__ = [
    'Calibration',
    'ClassOffsets',
    'HeldOutPixels',
    'Objective',
    'PixelSample',
    'ascend',
    'calibrate',
]

if HAS_STACK:
    from .calibrated_segmentor import (
        CalibratedCascadeEncoderDecoder,
        CalibratedEncoderDecoder,
        CalibratedSegmentor,
    )

    __all__ += [
        'CalibratedCascadeEncoderDecoder',
        'CalibratedEncoderDecoder',
        'CalibratedSegmentor',
    ]
