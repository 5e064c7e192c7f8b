"""Data sets with long-tailed classes, their statistics, and class-driven sampling.

Data sets, samplers and transforms are registered in MMSegmentation's registries.
"""

from .camvid import CamVidDataset
from .cityscapes import CheckedCityscapesDataset
from .label_check import BadFileError, CheckedFiles
from .samplers import ClassBalancedInfiniteSampler
from .statistics import ClassStatistics, class_statistics, class_weights
from .synthia import SynthiaRandDataset, SynthiaSeqDataset
from .toy_streets import ToyStreetsDataset
from .transforms import ClassAwareRandomCrop

__all__ = [
    'BadFileError',
    'CamVidDataset',
    'CheckedCityscapesDataset',
    'CheckedFiles',
    'ClassAwareRandomCrop',
    'ClassBalancedInfiniteSampler',
    'ClassStatistics',
    'SynthiaRandDataset',
    'SynthiaSeqDataset',
    'ToyStreetsDataset',
    'class_statistics',
    'class_weights',
]
