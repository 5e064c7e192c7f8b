"""Curves and pictures of pixel weights, and the hooks that draw them during training."""

from ..registry import need_stack

need_stack('mmseg_imbalance.weighting')

from .pixel_weight_picture_hook import PixelWeightPictureHook  # noqa: E402
from .weighting_curves_hook import WeightingCurvesHook  # noqa: E402

__all__ = ['PixelWeightPictureHook', 'WeightingCurvesHook']
