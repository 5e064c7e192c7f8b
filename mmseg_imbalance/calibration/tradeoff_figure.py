"""Draws how tau trades mIoU for mean accuracy."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from ..utils.axes import add_light_grid
from ..utils.colours import COLOURS

Point = tuple[float, float]


def tradeoff_figure(
    taus: Sequence[float], curve: Sequence[Point], marks: Mapping[str, Point]
) -> Figure:
    """Draws mIoU against mean accuracy over tau.

    Args:
        taus: Strengths of the prior, (T,).
        curve: Mean accuracy and mIoU in percent at each tau.
        marks: Points to name, such as the network as it is and the offsets that are taken.

    Returns:
        The figure. The caller saves it.
    """
    figure = Figure(figsize=(6.5, 4.5), layout='constrained')
    axis = figure.subplots()
    axis.plot(*zip(*curve, strict=True), '.-', color='0.6', markersize=5, zorder=0)
    for tau, point in zip(taus[::5], curve[::5], strict=True):
        axis.annotate(
            f'{tau:g}', point, xytext=(0, -12), textcoords='offset points', fontsize=8,
            ha='center', color='0.45',
        )  # fmt: skip
    for (name, point), colour, shape in zip(marks.items(), COLOURS[1:], 'soD', strict=False):
        axis.plot(*point, shape, color=colour, label=name, linestyle='none')
    axis.set(xlabel='mean accuracy (%)', ylabel='mIoU (%)', title='held-out images, by tau')
    axis.margins(0.1)
    add_light_grid(axis)
    axis.legend(frameon=False, fontsize=8)
    return figure
