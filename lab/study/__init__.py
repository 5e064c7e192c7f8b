"""Trains methods under one protocol and reports their results side by side."""

from .bench import Bench
from .choice import choose
from .metafile import update_metafile
from .pages import fill_page, update_page
from .pareto import pareto_figure
from .plan import Method, Plan, PlanError, Target, Trial
from .record import Record, find_record, read_records
from .report import write_report
from .results import Results
from .tables import TABLES

__all__ = [
    'Bench',
    'Method',
    'Plan',
    'PlanError',
    'Record',
    'Results',
    'TABLES',
    'Target',
    'Trial',
    'choose',
    'fill_page',
    'find_record',
    'pareto_figure',
    'read_records',
    'update_metafile',
    'update_page',
    'write_report',
]
