"""What a loss does to pixels: curves, pictures, and the hooks that draw them in a training."""

from ..registry import need_stack

need_stack('mmseg_imbalance.weighting')

from .pixel_weight_picture_hook import PixelWeightPictureHook  # noqa: E402
from .weighting_curves_hook import WeightingCurvesHook  # noqa: E402

__all__ = ['PixelWeightPictureHook', 'WeightingCurvesHook']
