"""Figures of compared runs: gains and losses of the classes, and training curves."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from mmseg_imbalance.utils.axes import add_light_grid
from mmseg_imbalance.utils.colours import COLOURS

from .compared_runs import Comparison, RunGroup
from .run import Run
from .run_tables import KIND_NAMES

# The baseline is grey; black is for the seventh of the other methods.
METHOD_COLOURS = (*COLOURS, '#000000')
_COLOURS = METHOD_COLOURS[1:]
MOST_METHODS = len(METHOD_COLOURS)  # methods that a figure can distinguish, with the baseline
_MARKERS = 'osD^vP*X'


def class_differences_figure(comparison: Comparison) -> Figure:
    """Draws how IoU and recall of every class differ from those of the baseline.

    Classes are ordered from the tail (top) to the head. Each method has a bar, its mean over the
    runs. If it and the baseline have several runs, a line through the end of the bar shows the
    standard deviation of the difference. Up to eight methods have distinct colours.

    Args:
        comparison: A comparison with at least one method besides the baseline.

    Returns:
        The figure, sized for its classes and methods, to be saved by the caller.
    """
    shares, count = comparison.shares(), len(comparison.others)
    row = max(np.clip(6 / len(shares), 0.17, 0.3), min(0.06 + 0.054 * count, 30 / len(shares)))
    width = min(9.5 + 0.09 * max(map(len, shares)), 14)
    legend_rows = -(-(count + 1) // _legend_columns(comparison.others, width))
    height = 1.1 + 0.2 * legend_rows + max(row * len(shares), 1.5)
    figure = Figure(figsize=(width, height), layout='constrained')
    axes = figure.subplots(1, len(KIND_NAMES), sharey=True)
    for axis, kind in zip(axes, KIND_NAMES, strict=True):
        _difference_bars(axis, comparison, kind)
    labels = [name if share is None else f'{name}  {share:.2g} %' for name, share in shares.items()]
    axes[0].set_yticks(np.arange(len(labels)), labels, fontsize=8)
    order = f'share of the {comparison.share_of}' if comparison.share_of else "data set's order"
    axes[0].set(ylim=(len(labels) - 0.5, -0.5), ylabel=f'class, {order}')
    figure.supxlabel(f'difference to {comparison.baseline} in percentage points', fontsize=10)
    handles = [Patch(color=_colour(comparison, method)) for method in comparison.others]
    _legend(figure, comparison.others, handles, Line2D([], [], color='0.5', linewidth=1))
    return figure


def _difference_bars(axis, comparison: Comparison, kind: str) -> None:
    classes, others = list(comparison.shares()), comparison.others
    height = 0.8 / len(others)
    for i, method in enumerate(others):
        differences = [comparison.difference(method, kind, name) for name in classes]
        mean, std = (np.array([getattr(d, key) for d in differences]) for key in ('mean', 'std'))
        rows = np.arange(len(classes)) + (i - (len(others) - 1) / 2) * height
        axis.barh(rows, mean, height, color=_colour(comparison, method))
        known = ~np.isnan(std)  # errorbar warns of empty data
        if known.any():
            axis.errorbar(
                mean[known], rows[known], xerr=std[known], fmt='none', ecolor='0.5', elinewidth=1
            )
    axis.axvline(0, color='0.3', linewidth=0.8)
    for line in np.arange(0.5, len(classes) - 1):
        axis.axhline(line, color='0.9', linewidth=0.6, zorder=0)
    axis.set_title(KIND_NAMES[kind], fontsize=11)
    add_light_grid(axis, 'x')
    axis.spines['left'].set_visible(False)
    axis.tick_params(axis='y', length=0)
    axis.tick_params(axis='x', labeltop=len(classes) > 40)  # a tall figure has ticks at both ends


def training_curves_figure(comparison: Comparison) -> Figure:
    """Draws the training loss and the validation scores of all methods over the training.

    A line shows the mean over the runs of a method, and the band around it their standard
    deviation. The loss is smoothed by a running mean over a twentieth of the training. Values of
    different loss functions differ in scale.

    Args:
        comparison: A comparison of runs with curves.

    Returns:
        The figure, to be saved by the caller.
    """
    scores = [
        key
        for key in ('mIoU', 'mAcc', 'mIoU_tail')
        if all(key in run.curves for run in comparison.runs)
    ]
    figure = Figure(figsize=(4.3 * (1 + len(scores)), 5), layout='constrained')
    loss, *others = figure.subplots(1, 1 + len(scores), squeeze=False)[0]
    loss.set(title='training loss, smoothed', xlabel='iteration')
    units = dict.fromkeys(run.unit for run in comparison.runs)
    for key, axis in zip(scores, others, strict=True):
        axis.set(title=f'{key} in validation (%)', xlabel=' or '.join(units))
    for method in comparison.methods:
        for key, axis in zip(('loss', *scores), (loss, *others), strict=True):
            _curve(axis, comparison, method, key)
    for axis in (loss, *others):
        add_light_grid(axis)
        axis.set_xlim(left=0)
        axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    handles = [Line2D([], [], **_style(comparison, method)) for method in comparison.methods]
    _legend(figure, comparison.methods, handles, Patch(color='0.85'))
    return figure


def _curve(axis, comparison: Comparison, method: RunGroup, key: str) -> None:
    steps, values = _at_common_steps(method.runs, key)
    if not steps.size:  # a run logged no losses, or there are no common steps
        return
    if key == 'loss':
        values = np.array([running_mean(row) for row in values])
    style, mean = _style(comparison, method), values.mean(0)
    colour = style['color']
    axis.plot(steps, mean, **style, markevery=[] if key == 'loss' else None)
    if len(values) > 1:
        std = values.std(0, ddof=1)
        axis.fill_between(steps, mean - std, mean + std, color=colour, alpha=0.18, linewidth=0)
        if len(steps) == 1:  # one step is too narrow for a band
            axis.errorbar(steps, mean, yerr=std, color=colour)


def _at_common_steps(runs: Sequence[Run], key: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the steps (n,) at which all runs have a value, and the values (runs, n)."""
    curves = [dict(zip(*run.curves.get(key, ((), ())), strict=True)) for run in runs]
    steps = sorted(set.intersection(*map(set, curves)))
    return np.array(steps), np.array([[curve[step] for step in steps] for curve in curves])


def running_mean(values: np.ndarray) -> np.ndarray:
    """Smooths a curve with a running mean over a twentieth of its length.

    Args:
        values: Numbers (n,).

    Returns:
        Means (n,), each over a value and up to n // 40 values before and after it.

    Example:
        >>> running_mean(np.array([3.0, 0, 0] * 20))[:3]
        array([1.5, 1. , 1. ])
    """
    reach = len(values) // 40
    windows = (values[max(i - reach, 0) : i + reach + 1] for i in range(len(values)))
    return np.array([window.mean() for window in windows])


def _legend(figure: Figure, methods: Sequence[RunGroup], handles: list, spread) -> None:
    labels = [method.name for method in methods]
    if any(len(method.runs) > 1 for method in methods):
        handles, labels = [*handles, spread], [*labels, '± standard deviation']
    ncols = min(len(labels), _legend_columns(methods, figure.get_figwidth()))
    figure.legend(handles, labels, loc='outside upper center', ncols=ncols, frameon=False)


def _legend_columns(methods: Sequence[RunGroup], width: float) -> int:
    """Returns how many entries fit side by side in ``width`` inches."""
    longest = max(len(method.name) for method in methods)
    return int(np.clip(width / (0.7 + 0.09 * longest), 1, 5))


def _style(comparison: Comparison, method: RunGroup) -> dict:
    marker = _MARKERS[comparison.methods.index(method) % len(_MARKERS)]
    return {'color': _colour(comparison, method), 'marker': marker, 'markersize': 5}


def _colour(comparison: Comparison, method: RunGroup) -> str:
    if method.name == comparison.baseline:
        return COLOURS[0]
    return _COLOURS[[m.name for m in comparison.others].index(method.name) % len(_COLOURS)]
