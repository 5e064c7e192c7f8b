"""A figure of a study's results: the trade-off between mIoU and mean accuracy."""

from itertools import product

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from mmseg_imbalance.utils.axes import add_light_grid
from mmseg_imbalance.utils.colours import COLOURS

from .compared_runs import Spread
from .plan import Method
from .results import Results

_GREY, _BLUE = '0.45', COLOURS[1]
# Possible offsets of a name from its mark, in points, the nearest first.
_PLACES = [(x, y * up) for y, x, up in product((4, 14, 24, 34, 44), (6, -6), (1, -1))]


def pareto_figure(results: Results) -> Figure:
    """Draws mIoU against mean accuracy, with the Pareto front of the baselines.

    Scores are those of the validation images. A cross shows the standard deviation over the seeds.
    A method below the stepped line is worse than some baseline in both scores.

    Args:
        results: The results.

    Returns:
        The figure, to be saved by the caller.
    """
    figure = Figure(figsize=(8.5, 6), layout='constrained')
    axis = figure.subplots()
    points = {m.key: [results.mean(m, key) for key in ('mAcc', 'mIoU')] for m in results.methods}
    baselines = [[s.mean for s in points[m.key]] for m in results.methods if not m.ours]
    if baselines:
        axis.plot(*zip(*_front(baselines), strict=True), color='0.8', zorder=0)
    for method in results.methods:
        _mark(axis, method, *points[method.key])
    axis.set(xlabel='mean accuracy (%)', ylabel='mIoU (%)', title=results.plan.title)
    axis.margins(0.08)
    add_light_grid(axis)
    _write_names(axis, results.methods, [tuple(s.mean for s in p) for p in points.values()])
    return figure


def _mark(axis: Axes, method: Method, accuracy: Spread, iou: Spread) -> None:
    """Draws the mark of a method, without its name."""
    axis.errorbar(
        accuracy.mean,
        iou.mean,
        xerr=None if accuracy.runs < 2 else accuracy.std,
        yerr=None if iou.runs < 2 else iou.std,
        fmt='o' if method.ours else 's',
        color=_colour(method),
        markersize=5,
        elinewidth=0.8,
    )


def _write_names(axis: Axes, methods: list[Method], points: list[tuple[float, float]]) -> None:
    """Writes the methods' names beside their marks, so that they cover no mark or other name."""
    renderer = FigureCanvasAgg(axis.figure).get_renderer()
    axis.figure.draw_without_rendering()  # computes the layout
    marks = axis.transData.transform(points)
    taken = [Bbox.from_bounds(x - 4, y - 4, 8, 8) for x, y in marks]
    for method, point in zip(methods, points, strict=True):
        colour = _colour(method)
        name = axis.annotate(
            method.name,
            point,
            xytext=_PLACES[0],
            textcoords='offset points',
            fontsize=8,
            color=colour,
            arrowprops=dict(arrowstyle='-', color=colour, linewidth=0.4, shrinkA=0, shrinkB=0),
        )
        name.set_in_layout(False)
        for place in _PLACES:
            name.set(position=place, ha='left' if place[0] > 0 else 'right')
            name.set(va='bottom' if place[1] > 0 else 'top')
            name.update_positions(renderer)
            box = Text.get_window_extent(name, renderer)  # without the line to the mark
            if not box.count_overlaps(taken) and _holds(axis.figure.bbox, box):
                break
        taken.append(box)


def _holds(outer: Bbox, inner: Bbox) -> bool:
    return outer.x0 <= inner.x0 and inner.x1 <= outer.x1


def _colour(method: Method) -> str:
    return _BLUE if method.ours else _GREY


def _front(points: list[list[float]]) -> list[list[float]]:
    """Returns the corners of the front, from the largest mIoU to the largest mean accuracy."""
    best = [p for p in points if not any(q[0] > p[0] and q[1] > p[1] for q in points)]
    best.sort()
    corners = [[min(p[0] for p in points), best[0][1]]]
    for left, right in zip(best, [*best[1:], None], strict=True):
        corners.append(left)
        if right:
            corners.append([left[0], right[1]])
    lowest = min(p[1] for p in points)
    return [*corners, [best[-1][0], lowest]]
