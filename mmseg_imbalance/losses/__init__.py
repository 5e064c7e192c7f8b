"""Losses for ``loss_decode``: one skeleton, one weighting of the pixels per file."""

from .loss_max_pooling import LossMaxPooling
from .pixel_weighting import PixelWeightingLoss
from .recall_loss import RecallLoss

__all__ = ['LossMaxPooling', 'PixelWeightingLoss', 'RecallLoss']
