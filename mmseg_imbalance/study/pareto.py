"""The results of a study as a picture: what a method pays in mIoU for mean accuracy."""

import numpy as np
from matplotlib.figure import Figure

from ..evaluation import Spread
from ..visualization.comparison import COLOURS
from .plan import Method
from .results import Results

_GREY, _BLUE = '0.45', COLOURS[1]


def pareto_figure(results: Results) -> Figure:
    """Draws mIoU against mean accuracy, with the Pareto front of the baselines.

    A cross is the standard deviation over the seeds. What lies below the stepped line is worse in
    both than one of the baselines.

    Args:
        results: The results.

    Returns:
        The figure, to be saved by the caller.
    """
    figure = Figure(figsize=(8.5, 6), layout='constrained')
    axis = figure.subplots()
    points = {m.key: [results.mean(m, key) for key in ('mAcc', 'mIoU')] for m in results.methods}
    front = _front([[s.mean for s in points[m.key]] for m in results.methods if not m.ours])
    axis.plot(*zip(*front, strict=True), color='0.8', zorder=0)
    middle = np.mean([accuracy.mean for accuracy, _ in points.values()])
    for method in results.methods:
        accuracy, iou = points[method.key]
        _mark(axis, method, accuracy, iou, left=accuracy.mean > middle + 3)
    axis.set(xlabel='mean accuracy (%)', ylabel='mIoU (%)', title=results.plan.title)
    axis.margins(0.08)
    axis.grid(alpha=0.3)
    axis.set_axisbelow(True)
    axis.spines[['top', 'right']].set_visible(False)
    return figure


def _mark(axis, method: Method, accuracy: Spread, iou: Spread, left: bool) -> None:
    """Draws a method, with its name on the left or on the right."""
    colour = _BLUE if method.ours else _GREY
    axis.errorbar(
        accuracy.mean,
        iou.mean,
        xerr=None if accuracy.runs < 2 else accuracy.std,
        yerr=None if iou.runs < 2 else iou.std,
        fmt='o' if method.ours else 's',
        color=colour,
        markersize=5,
        elinewidth=0.8,
    )
    axis.annotate(
        method.name,
        (accuracy.mean, iou.mean),
        xytext=(-5 if left else 5, 4),
        ha='right' if left else 'left',
        textcoords='offset points',
        fontsize=8,
        color=colour,
    )


def _front(points: list[list[float]]) -> list[list[float]]:
    """The corners of the front, from the largest mIoU to the largest mean accuracy."""
    best = [p for p in points if not any(q[0] > p[0] and q[1] > p[1] for q in points)]
    best.sort()
    corners = [[min(p[0] for p in points), best[0][1]]]
    for left, right in zip(best, [*best[1:], None], strict=True):
        corners.append(left)
        if right:
            corners.append([left[0], right[1]])
    lowest = min(p[1] for p in points)
    return [*corners, [best[-1][0], lowest]]
