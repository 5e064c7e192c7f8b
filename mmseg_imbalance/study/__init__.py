"""Trains methods side by side under one protocol, and reports what came out."""

from .choice import choose
from .metafile import update_metafile
from .pages import fill_page, update_page
from .pareto import pareto_figure
from .plan import Method, Plan, PlanError, Target, Trial
from .record import Record, find_record, read_records
from .report import write_report
from .results import Results
from .tables import (
    class_table,
    cost_table,
    front_table,
    gain_table,
    summary_table,
    target_table,
    tuning_table,
)

__all__ = [
    'Method',
    'Plan',
    'PlanError',
    'Record',
    'Results',
    'Target',
    'Trial',
    'choose',
    'class_table',
    'cost_table',
    'fill_page',
    'find_record',
    'front_table',
    'gain_table',
    'pareto_figure',
    'read_records',
    'summary_table',
    'target_table',
    'tuning_table',
    'update_metafile',
    'update_page',
    'write_report',
]
