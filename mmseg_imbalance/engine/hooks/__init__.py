"""Hooks, registered in the framework's registry."""

from .class_feedback_hook import ClassFeedbackHook
from .class_statistics_hook import ClassStatisticsHook
from .fused_upsampling_hook import FusedUpsamplingHook
from .iter_seed_hook import IterSeedHook
from .non_finite_loss_hook import NonFiniteLossHook
from .pixel_weight_picture_hook import PixelWeightPictureHook
from .prediction_writer_hook import PredictionWriterHook
from .weighting_curves_hook import WeightingCurvesHook

__all__ = [
    'ClassFeedbackHook',
    'ClassStatisticsHook',
    'FusedUpsamplingHook',
    'IterSeedHook',
    'NonFiniteLossHook',
    'PixelWeightPictureHook',
    'PredictionWriterHook',
    'WeightingCurvesHook',
]
