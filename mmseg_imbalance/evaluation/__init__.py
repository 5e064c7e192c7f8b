"""Confusion matrices, class scores, and a metric with both."""

from ..registry import HAS_STACK
from .class_groups import class_groups
from .confusion import class_scalars, class_scores, confusion_counts, confusion_matrix
from .predictions import prediction_path
from .scores import Scores

__all__ = [
    'Scores',
    'class_groups',
    'class_scalars',
    'class_scores',
    'confusion_counts',
    'confusion_matrix',
    'prediction_path',
]

if HAS_STACK:
    from .imbalance_metric import ImbalanceMetric

    __all__ += ['ImbalanceMetric']
