"""Confusion matrices, scores of classes, a metric of both, and comparisons of whole runs."""

from .class_groups import class_groups
from .compared_runs import Comparison, Method, NotComparableError, Spread, compare_runs
from .confusion import class_scalars, class_scores, confusion_counts, confusion_matrix
from .imbalance_metric import ImbalanceMetric
from .predictions import prediction_path
from .run_log import Run, RunLogError, newest_config, read_run
from .scores import Scores

__all__ = [
    'Comparison',
    'ImbalanceMetric',
    'Method',
    'NotComparableError',
    'Run',
    'RunLogError',
    'Scores',
    'Spread',
    'class_groups',
    'class_scalars',
    'class_scores',
    'compare_runs',
    'confusion_counts',
    'confusion_matrix',
    'newest_config',
    'prediction_path',
    'read_run',
]
