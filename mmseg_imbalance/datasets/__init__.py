"""Data sets with long-tailed classes, registered in MMSegmentation's ``DATASETS``."""

from .camvid import CamVidDataset
from .synthia import SynthiaRandDataset, SynthiaSeqDataset
from .toy_streets import ToyStreetsDataset

__all__ = ['CamVidDataset', 'SynthiaRandDataset', 'SynthiaSeqDataset', 'ToyStreetsDataset']
