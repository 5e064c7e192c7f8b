"""How often each class occurs in a data set, and what follows from it."""

from .class_statistics import ClassStatistics, class_shares
from .class_weights import METHODS, check_suffix, class_weights, save_class_weights
from .count import BadLabelsError, count_classes
from .label_maps import LabelMap, LabelMaps, find_label_maps
from .rare_class_files import write_rare_class_files
from .seen import count_seen
from .store import (
    StaleStatisticsError,
    class_statistics,
    count_and_save,
    default_path,
    label_rows,
    load_or_count,
)

__all__ = [
    'METHODS',
    'BadLabelsError',
    'ClassStatistics',
    'LabelMap',
    'LabelMaps',
    'StaleStatisticsError',
    'check_suffix',
    'class_shares',
    'class_statistics',
    'class_weights',
    'count_and_save',
    'count_classes',
    'count_seen',
    'default_path',
    'find_label_maps',
    'label_rows',
    'load_or_count',
    'save_class_weights',
    'write_rare_class_files',
]
