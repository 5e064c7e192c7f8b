"""Figures and tables, made from plain arrays, and the report that combines them."""

from .class_distribution import class_distribution_figure, class_distribution_table
from .comparison import comparison_figure, comparison_table
from .confusion import confusion_figure
from .overlay import overlay_image
from .pixel_weights import WeighedImage, figure_to_array, pixel_weight_figure
from .report import compare_predictions
from .run_comparison import class_differences_figure, training_curves_figure
from .run_report import comparison_latex, comparison_markdown, write_run_comparison
from .run_tables import run_tables
from .weighting import weighting_figure

__all__ = [
    'WeighedImage',
    'class_differences_figure',
    'class_distribution_figure',
    'class_distribution_table',
    'compare_predictions',
    'comparison_figure',
    'comparison_latex',
    'comparison_markdown',
    'comparison_table',
    'confusion_figure',
    'figure_to_array',
    'overlay_image',
    'pixel_weight_figure',
    'run_tables',
    'training_curves_figure',
    'weighting_figure',
    'write_run_comparison',
]
