"""Measures time and memory of the losses, compared with cross-entropy and others' losses."""

from .contestants import (
    COPY_LIMIT,
    EAGER_CROSS_ENTROPY,
    draw_label,
    loss_contestants,
    stage_contestants,
)
from .measure import Contestant, ContestantError, Measurement, measure
from .scaling import PLOTTED_BITS, scaling_figure
from .tables import losses_table, stages_table

__all__ = [
    'COPY_LIMIT',
    'EAGER_CROSS_ENTROPY',
    'Contestant',
    'ContestantError',
    'PLOTTED_BITS',
    'Measurement',
    'draw_label',
    'loss_contestants',
    'losses_table',
    'measure',
    'scaling_figure',
    'stage_contestants',
    'stages_table',
]
