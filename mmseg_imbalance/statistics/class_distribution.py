"""Class frequencies as a table and as bars, for one data set or several side by side."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from ..utils.axes import add_light_grid
from ..utils.colours import COLOURS
from ..utils.markdown import escape_markdown, markdown_table

KINDS = ('pixels', 'images')


def class_distribution_table(
    classes: Sequence[str], shares: Mapping[str, Mapping[str, np.ndarray]]
) -> str:
    """Writes the shares of pixels and images of every class as a Markdown table.

    Args:
        classes: C names.
        shares: Maps the name of a distribution to ``'pixels'`` and ``'images'``, (C,) each in
            [0, 1]: a class's share of all pixels, and the share of images that hold it. Rows are
            sorted by the first distribution's pixels, rarest last.

    Returns:
        Markdown, with values in percent.
    """
    several = len(shares) > 1
    columns = [
        (f'{kind} %: {escape_markdown(name)}' if several else f'{kind} %', shares[name][kind])
        for kind in KINDS
        for name in shares
    ]
    rows = [
        [escape_markdown(classes[c]), *(percent(values[c]) for _, values in columns)]
        for c in _from_head_to_tail(shares)
    ]
    return markdown_table(['class', *(header for header, _ in columns)], rows)


def class_distribution_figure(
    classes: Sequence[str], shares: Mapping[str, Mapping[str, np.ndarray]]
) -> Figure:
    """Draws the shares of pixels and images of every class as horizontal bars on a log scale.

    Args:
        classes: C names.
        shares: As in :func:`class_distribution_table`; the bars are sorted alike, with the most
            frequent class on top.

    Returns:
        The figure, sized to fit the classes and their names. The caller saves it.
    """
    order = _from_head_to_tail(shares)
    width = 8.5 + 0.07 * max(map(len, classes))  # inches
    height = 1.4 + max(0.2, 0.12 * len(shares)) * len(order)
    figure = Figure(figsize=(width, height), layout='constrained')
    axes = figure.subplots(1, 2, sharey=True)
    for axis, kind in zip(axes, KINDS, strict=True):
        _bars(axis, kind, {name: np.asarray(shares[name][kind])[order] for name in shares})
    axes[0].set_yticks(np.arange(len(order)), [classes[c] for c in order], fontsize=8)
    if len(shares) > 1:
        figure.legend(
            *axes[0].get_legend_handles_labels(), loc='outside upper center',
            ncols=min(len(shares), 4), frameon=False,
        )  # fmt: skip
    return figure


def _bars(axis, kind: str, shares: Mapping[str, np.ndarray]) -> None:
    lowest = _axis_start(list(shares.values()))
    width = 0.8 / len(shares)
    for i, (name, share) in enumerate(shares.items()):
        rows = np.arange(len(share))
        bars = axis.barh(
            rows + (i - (len(shares) - 1) / 2) * width,
            np.maximum(share, lowest),  # a log scale cannot show 0
            width,
            color=COLOURS[1 + i % (len(COLOURS) - 1)],
            label=name,
        )
        axis.bar_label(bars, [percent(value) for value in share], padding=2, fontsize=6.5)
    decades = round(-np.log10(lowest))
    ticks = 10.0 ** -np.arange(0, decades + 1, -(-decades // 6))
    axis.set(xscale='log', xlabel=f'share of {kind}')
    axis.set_xticks(ticks, [f'{100 * tick:g} %' for tick in ticks], fontsize=8)
    axis.minorticks_off()
    axis.set(xlim=(lowest, lowest**-0.1), ylim=(len(rows) - 0.4, -0.6))  # room for 100.0
    add_light_grid(axis, 'x')


def _from_head_to_tail(shares: Mapping[str, Mapping[str, np.ndarray]]) -> np.ndarray:
    first = next(iter(shares.values()))
    return np.argsort(-np.asarray(first['pixels']), kind='stable')


def _axis_start(shares: Sequence[np.ndarray]) -> float:
    """Returns a power of ten from which even the shortest bar has some length."""
    smallest = np.concatenate([values[values > 0] for values in shares]).min(initial=0.1)
    return 10.0 ** np.floor(np.log10(smallest / 1.5))


def percent(share: float) -> str:
    """Formats a share with two or three digits, as 0 only if 0: 29.5, 0.12, 0.00034."""
    percent = 100 * share
    if percent == 0:
        return '0'
    return f'{percent:.1f}' if percent >= 9.95 else f'{percent:#.2g}'
