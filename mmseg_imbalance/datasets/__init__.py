"""Data sets with long-tailed classes, their statistics, and class-driven sampling.

Data sets, samplers and transforms are registered in MMSegmentation's registries.
"""

from .camvid import CamVidDataset
from .samplers import ClassBalancedInfiniteSampler
from .statistics import ClassStatistics, class_statistics, class_weights
from .synthia import SynthiaRandDataset, SynthiaSeqDataset
from .toy_streets import ToyStreetsDataset
from .transforms import ClassAwareRandomCrop

__all__ = [
    'CamVidDataset',
    'ClassAwareRandomCrop',
    'ClassBalancedInfiniteSampler',
    'ClassStatistics',
    'SynthiaRandDataset',
    'SynthiaSeqDataset',
    'ToyStreetsDataset',
    'class_statistics',
    'class_weights',
]
