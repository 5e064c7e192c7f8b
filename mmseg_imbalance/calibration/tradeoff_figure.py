"""Draws how tau trades mIoU for mean accuracy."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from ..utils.axes import add_light_grid
from ..utils.colours import COLOURS

Means = Mapping[str, float]


def tradeoff_figure(tradeoff: Sequence[Means], marks: Mapping[str, Means]) -> Figure:
    """Draws mIoU against mean accuracy over tau.

    Args:
        tradeoff: ``tau``, and ``mAcc`` and ``mIoU`` in percent with this strength of the prior.
        marks: ``mAcc`` and ``mIoU`` of points to name, such as the network as it is and the offsets
            that are taken.

    Returns:
        The figure. The caller saves it.
    """
    figure = Figure(figsize=(6.5, 4.5), layout='constrained')
    axis = figure.subplots()
    curve, marked = (
        [(point['mAcc'], point['mIoU']) for point in points]
        for points in (tradeoff, marks.values())
    )
    axis.plot(*zip(*curve, strict=True), '.-', color='0.6', markersize=5, zorder=0)
    for point, place in zip(tradeoff[::5], curve[::5], strict=True):
        axis.annotate(
            f'{point["tau"]:g}', place, xytext=(0, -12), textcoords='offset points', fontsize=8,
            ha='center', color='0.45',
        )  # fmt: skip
    for name, place, colour, shape in zip(marks, marked, COLOURS[1:], 'soD', strict=False):
        axis.plot(*place, shape, color=colour, label=name, linestyle='none')
    axis.set(xlabel='mean accuracy (%)', ylabel='mIoU (%)', title='held-out images, by tau')
    axis.margins(0.1)
    add_light_grid(axis)
    axis.legend(frameon=False, fontsize=8)
    return figure
