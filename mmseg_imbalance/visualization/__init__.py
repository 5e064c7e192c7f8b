"""Figures and tables, made from plain arrays, and the report that combines them."""

from .class_distribution import class_distribution_figure, class_distribution_table
from .comparison import comparison_figure, comparison_table
from .confusion import confusion_figure
from .report import compare_predictions
from .weighting import weighting_figure

__all__ = [
    'class_distribution_figure',
    'class_distribution_table',
    'compare_predictions',
    'comparison_figure',
    'comparison_table',
    'confusion_figure',
    'weighting_figure',
]
