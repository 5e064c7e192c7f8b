"""Compares methods at one recall of the frequent classes, whatever each network prefers.

A network that calls more pixels rare has a higher recall of rare classes, and a lower one of
frequent classes. The strength tau of a class prior, added to the logits after training, moves every
network along this trade-off, so that they can be compared at one point of it.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from mmseg_imbalance.utils.axes import add_light_grid

from .compared_runs import Spread
from .plan import MEANS, Method
from .results import Results
from .run_figures import METHOD_COLOURS
from .run_tables import Table, numbers

FREQUENT = 'mAcc_head'
"""The score that is held equal: the mean recall of the classes of the head."""
POINTS_LOST = (0, 2, 5)
"""How many points of it a method may lose, compared with the baseline as it is."""
_SHOWN = ('mIoU', 'mIoU_tail', 'mAcc_tail')


def equal_recall_table(results: Results, methods: Sequence[Method] | None = None) -> Table:
    """Returns the best scores that the held-out images can have at no lower recall of the head.

    A cell is the best over tau where the frequent classes keep the recall that they have under the
    baseline, but for 0, 2 or 5 points: the mean over the parts that were held out, undefined where
    one of them never has this recall. As tau is chosen for each cell and part on the images that
    are scored, the cells of a row are of several settings, and all are a little too high.

    Args:
        results: The results.
        methods: The rows, all methods if None.
    """
    methods = methods or results.plan.methods.values()
    curves = {method.name: found for method in methods if (found := _curves(results, method))}
    base = _curves(results, results.plan.methods[results.plan.baseline])
    recall = {part: _as_it_is(curve)[FREQUENT] for part, curve in base.items()}
    columns = {}
    for key in _SHOWN:
        for lost in POINTS_LOST:
            best = [
                [_best(curve, key, recall[part] - lost) for part, curve in found.items()]
                for found in curves.values()
            ]
            spreads = [Spread(float(np.mean(parts)), np.nan, len(parts)) for parts in best]
            columns[f'{MEANS[key]}, ≤ {lost} lost'] = numbers(spreads)
    rows = zip(curves, *columns.values(), strict=True)
    title = 'Best scores of the held-out images over tau, by the loss of recall of the head (%)'
    return Table(title, ['method', *columns], [list(row) for row in rows])


def equal_recall_figure(results: Results, methods: Sequence[Method]) -> Figure:
    """Draws mIoU and tail IoU against the recall of the frequent classes, over tau.

    Args:
        results: The results.
        methods: The lines, at most :data:`.run_figures.MOST_METHODS`; those that were not
            calibrated are left out.

    Returns:
        The figure, to be saved by the caller. A mark is the network as it is.
    """
    figure = Figure(figsize=(10, 4.5), layout='constrained')
    axes = figure.subplots(1, 2)
    for method, colour in zip(methods, METHOD_COLOURS[: len(methods)], strict=True):
        for axis, key in zip(axes, ('mIoU', 'mIoU_tail'), strict=True):
            _line(axis, list(_curves(results, method).values()), key, method.name, colour)
    for axis, key in zip(axes, ('mIoU', 'mIoU_tail'), strict=True):
        axis.set(xlabel='recall of the frequent classes (%)', ylabel=f'{MEANS[key]} (%)')
        add_light_grid(axis)
    axes[0].legend(frameon=False, fontsize=8)
    figure.suptitle(f'{results.plan.title}: held-out images, over tau')
    return figure


def _line(axis, curves: list, key: str, name: str, colour: str) -> None:
    if not curves:
        return
    x, y = (np.mean([[p.get(k, np.nan) for p in c] for c in curves], 0) for k in (FREQUENT, key))
    own = curves[0].index(_as_it_is(curves[0]))
    axis.plot(x, y, color=colour, linewidth=1.2, label=name)
    axis.plot(x[own], y[own], 'o', color=colour, markersize=5)


def _curves(results: Results, method: Method) -> dict[str, list[dict[str, float]]]:
    """Returns the curves of a method by part; none where there are no frequent classes."""
    found = results.tradeoffs(method)
    return found if all(FREQUENT in point for c in found.values() for point in c) else {}


def _as_it_is(curve: list[dict[str, float]]) -> dict[str, float]:
    return next(point for point in curve if point['tau'] == 0)


def _best(curve: list[dict[str, float]], key: str, least: float) -> float:
    kept = (p[key] for p in curve if key in p and p[FREQUENT] >= least)
    return max(kept, default=np.nan)
