"""What is read off predictions: confusion matrices and scores per class."""

from .confusion import class_scores, confusion_counts, confusion_matrix
from .predictions import prediction_path

__all__ = ['class_scores', 'confusion_counts', 'confusion_matrix', 'prediction_path']
