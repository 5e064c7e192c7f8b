"""Compares methods at one recall of the frequent classes, whatever each network prefers.

A network that calls more pixels rare has a higher recall of rare classes, and a lower one of
frequent classes. The strength tau of a class prior, added to the logits after training, moves every
network along this trade-off, so that they can be compared at one point of it.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from mmseg_imbalance.utils.colours import COLOURS

from .compared_runs import Spread
from .plan import MEANS, Method
from .results import Results
from .run_tables import Table, numbers

FREQUENT = 'mAcc_head'
"""The score that is held equal: the mean recall of the classes of the head."""
LOSSES = (0, 2, 5)
"""How many points of it a method may lose, compared with the baseline as it is."""
_SHOWN = ('mIoU', 'mIoU_tail', 'mAcc_tail')


def equal_recall_table(results: Results, methods: Sequence[Method] | None = None) -> Table:
    """Returns the best scores that the held-out images can have at no lower recall of the head.

    A cell is the best over tau where the frequent classes keep the recall that they have under the
    baseline, but for 0, 2 or 5 points: the mean over the parts that were held out, undefined where
    one of them never has this recall.

    Args:
        results: The results.
        methods: The rows, all methods if None.
    """
    curves = {
        method.name: found
        for method in methods or results.plan.methods.values()
        if (found := results.tradeoffs(method))
    }
    base = results.tradeoffs(results.plan.methods[results.plan.baseline])
    columns = {}
    for key in _SHOWN:
        for loss in LOSSES:
            best = [
                [_best(curve, key, _own(base[part]) - loss) for part, curve in found.items()]
                for found in curves.values()
            ]
            spreads = [Spread(float(np.mean(parts)), np.nan, len(parts)) for parts in best]
            columns[f'{MEANS[key]}, −{loss}'] = numbers(spreads)
    rows = zip(curves, *columns.values(), strict=True)
    title = "Held-out images at most so far below the baseline's recall of the frequent classes (%)"
    return Table(title, ['method', *columns], [list(row) for row in rows])


def equal_recall_figure(results: Results, methods: Sequence[Method]) -> Figure:
    """Draws mIoU and tail IoU against the recall of the frequent classes, over tau.

    Args:
        results: The results.
        methods: The lines; those that were not calibrated are left out.

    Returns:
        The figure, to be saved by the caller. A mark is the network as it is.
    """
    figure = Figure(figsize=(10, 4.5), layout='constrained')
    axes = figure.subplots(1, 2)
    for method, colour in zip(methods, (*COLOURS, '#000000'), strict=False):
        curves = list(results.tradeoffs(method).values())
        if not curves:
            continue
        for axis, key in zip(axes, ('mIoU', 'mIoU_tail'), strict=True):
            x, y = (np.mean([[p[k] for p in c] for c in curves], 0) for k in (FREQUENT, key))
            own = [point['tau'] for point in curves[0]].index(0)
            axis.plot(x, y, color=colour, linewidth=1.2, label=method.name)
            axis.plot(x[own], y[own], 'o', color=colour, markersize=5)
            axis.set(xlabel='recall of the frequent classes (%)', ylabel=f'{MEANS[key]} (%)')
    for axis in axes:
        axis.grid(alpha=0.3)
        axis.set_axisbelow(True)
        axis.spines[['top', 'right']].set_visible(False)
    axes[0].legend(frameon=False, fontsize=8)
    figure.suptitle(f'{results.plan.title}: held-out images, over tau')
    return figure


def _own(curve: list[dict[str, float]]) -> float:
    return next(point[FREQUENT] for point in curve if point['tau'] == 0)


def _best(curve: list[dict[str, float]], key: str, least: float) -> float:
    return max((p.get(key, np.nan) for p in curve if p[FREQUENT] >= least), default=np.nan)
