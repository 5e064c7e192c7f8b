"""Losses for ``loss_decode``: one skeleton, one weighting of the pixels per file."""

from .loss_max_pooling import LossMaxPooling
from .pixel_weighting import PixelWeighting, PixelWeightingLoss
from .recall_loss import RecallLoss
from .softmax_focal_loss import SoftmaxFocalLoss

__all__ = [
    'LossMaxPooling',
    'PixelWeighting',
    'PixelWeightingLoss',
    'RecallLoss',
    'SoftmaxFocalLoss',
]
