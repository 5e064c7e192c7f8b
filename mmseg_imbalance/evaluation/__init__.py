"""What is read off predictions: confusion matrices, scores per class, and a metric of both."""

from .class_groups import class_groups
from .confusion import class_scalars, class_scores, confusion_counts, confusion_matrix
from .imbalance_metric import ImbalanceMetric
from .predictions import prediction_path
from .scores import Scores

__all__ = [
    'ImbalanceMetric',
    'Scores',
    'class_groups',
    'class_scalars',
    'class_scores',
    'confusion_counts',
    'confusion_matrix',
    'prediction_path',
]
