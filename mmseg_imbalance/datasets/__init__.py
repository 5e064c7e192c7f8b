"""Data sets with long-tailed classes, checked loading of files, and class statistics."""

from ..registry import need_stack

need_stack('mmseg_imbalance.datasets')

from .camvid import CamVidDataset  # noqa: E402
from .cityscapes import CheckedCityscapesDataset  # noqa: E402
from .clothing import ClothingDataset  # noqa: E402
from .count import count_classes  # noqa: E402
from .label_check import CheckedFiles  # noqa: E402
from .label_maps import LabelMap, LabelMaps, find_label_maps  # noqa: E402
from .store import (  # noqa: E402
    StaleStatisticsError,
    class_statistics,
    count_and_save,
    default_path,
    label_rows,
    load_or_count,
)
from .synthia import SynthiaRandDataset, SynthiaSeqDataset  # noqa: E402
from .toy_streets import ToyStreetsDataset  # noqa: E402

__all__ = [
    'CamVidDataset',
    'CheckedCityscapesDataset',
    'CheckedFiles',
    'ClothingDataset',
    'LabelMap',
    'LabelMaps',
    'StaleStatisticsError',
    'SynthiaRandDataset',
    'SynthiaSeqDataset',
    'ToyStreetsDataset',
    'class_statistics',
    'count_and_save',
    'count_classes',
    'default_path',
    'find_label_maps',
    'label_rows',
    'load_or_count',
]
