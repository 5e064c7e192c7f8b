"""What is read off predictions: confusion matrices and scores per class."""

from .confusion import class_scores, confusion_matrix

__all__ = ['class_scores', 'confusion_matrix']
