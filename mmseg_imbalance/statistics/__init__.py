"""Class frequencies, and the class weights and priors that follow from them."""

from .class_statistics import ClassStatistics, class_shares
from .class_values import ClassValuesError, load_class_values, load_class_weight
from .class_weights import METHODS, check_suffix, class_weights, save_class_weights
from .count import BadLabelsError, count_label_maps
from .rare_class_files import write_rare_class_files

__all__ = [
    'METHODS',
    'BadLabelsError',
    'ClassStatistics',
    'ClassValuesError',
    'check_suffix',
    'class_shares',
    'class_weights',
    'count_label_maps',
    'load_class_values',
    'load_class_weight',
    'save_class_weights',
    'write_rare_class_files',
]
