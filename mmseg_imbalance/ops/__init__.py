"""The losses' computations on tensors, independent of registries, configs and mmseg."""

from .class_counts import class_counts
from .histogram import histogram
from .labels import check_labels
from .lovasz import lovasz_softmax
from .max_pooling import max_pooling_weights
from .mean_factors import class_mask, mean_factors
from .per_pixel import per_pixel
from .pixel_cross_entropy import PixelScores, pixel_cross_entropy
from .plain_tensor import plain_tensor
from .recall import recall_class_weights
from .region_sums import RegionSums, region_sums
from .row_stripes import working_dtype
from .safe_divisor import safe_divisor
from .tversky import tversky_losses
from .weight_support import class_mean, weight_support

__all__ = [
    'PixelScores',
    'RegionSums',
    'check_labels',
    'class_counts',
    'class_mask',
    'class_mean',
    'histogram',
    'lovasz_softmax',
    'max_pooling_weights',
    'mean_factors',
    'per_pixel',
    'pixel_cross_entropy',
    'plain_tensor',
    'recall_class_weights',
    'region_sums',
    'safe_divisor',
    'tversky_losses',
    'weight_support',
    'working_dtype',
]
