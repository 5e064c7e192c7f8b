"""A figure of how the time of losses grows with the number of pixels."""

from collections.abc import Mapping, Sequence

from matplotlib import colormaps
from matplotlib.figure import Figure

from .contestants import COPY_LIMIT, EAGER_CROSS_ENTROPY
from .measure import Measurement

PLOTTED_BITS = range(16, 24)
"""The base-2 logarithms of the numbers of pixels that are worth drawing."""
_MARKERS = 'osv^D<>P'


def scaling_figure(by_pixels: Mapping[int, Sequence[Measurement]], title: str) -> Figure:
    """Draws time against pixels on logarithmic axes; a line of slope 1 is linear growth.

    Args:
        by_pixels: Measurements of the same steps, by number of pixels.
        title: Device and settings in words.

    Returns:
        The figure, to be saved by the caller.
    """
    figure = Figure(figsize=(11, 6), layout='constrained')
    axis = figure.subplots()
    names = [measurement.name for measurement in next(iter(by_pixels.values()))]
    colours = colormaps['tab20'].colors
    for i, name in enumerate(names):
        milliseconds = [1e3 * measured[i].seconds for measured in by_pixels.values()]
        if name in (COPY_LIMIT, EAGER_CROSS_ENTROPY):
            style = dict(color='black', linestyle=':' if name == COPY_LIMIT else '-', linewidth=2)
        else:
            style = dict(color=colours[i % 20], marker=_MARKERS[i % 8], markersize=4)
        axis.plot(list(by_pixels), milliseconds, label=name, **style)
    axis.set_xscale('log', base=2)
    axis.set_yscale('log')
    axis.set(xlabel='pixels', ylabel='ms, forward and backward', title=title)
    axis.grid(alpha=0.3)
    axis.spines[['top', 'right']].set_visible(False)
    figure.legend(loc='outside right upper', frameon=False, fontsize=9)
    return figure
