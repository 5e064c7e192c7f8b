"""Losses for ``loss_decode`` and for any PyTorch loop: one file per loss."""

from .blv_loss import BLVLoss
from .boundary_weighted_loss import BoundaryWeightedLoss
from .class_count_loss import ClassCountLoss
from .class_prior_loss import ClassPriorLoss
from .focal_tversky_loss import FocalTverskyLoss
from .logit_adjusted_loss import LogitAdjustedLoss
from .loss_max_pooling import LossMaxPooling
from .lovasz_softmax_loss import LovaszSoftmaxLoss
from .pixel_weighting_loss import PixelWeightingLoss
from .recall_loss import RecallLoss
from .region_loss import RegionLoss
from .segmentation_loss import SegmentationLoss
from .softmax_focal_loss import SoftmaxFocalLoss
from .unified_focal_loss import UnifiedFocalLoss
from .upsampled_logits import UpsampledLogits
from .weighted_cross_entropy_loss import WeightedCrossEntropyLoss

__all__ = [
    'BLVLoss',
    'BoundaryWeightedLoss',
    'ClassCountLoss',
    'ClassPriorLoss',
    'FocalTverskyLoss',
    'LogitAdjustedLoss',
    'LossMaxPooling',
    'LovaszSoftmaxLoss',
    'PixelWeightingLoss',
    'RecallLoss',
    'RegionLoss',
    'SegmentationLoss',
    'SoftmaxFocalLoss',
    'UnifiedFocalLoss',
    'UpsampledLogits',
    'WeightedCrossEntropyLoss',
]
