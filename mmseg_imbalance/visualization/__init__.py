"""Figures and tables, made from plain arrays, and the report that combines them."""

from .comparison import comparison_figure, comparison_table
from .report import compare_predictions

__all__ = ['compare_predictions', 'comparison_figure', 'comparison_table']
