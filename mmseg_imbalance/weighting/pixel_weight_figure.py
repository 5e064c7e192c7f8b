"""Draws how a loss weighs an image's pixels."""

from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

import matplotlib
import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Normalize, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from ..ops.weight_support import weight_support

DPI = 110
"""Pixels per inch, with which figures of up to three rows fit a screen of 1920 x 1080."""
COLUMNS = ('image', 'label', 'prediction', 'pixel loss', 'weight')
IGNORED = (200, 200, 200)
"""Grey of the pixels whose label is ignored."""
LEAST_WEIGHT = 1e-3
"""Lower end of the weights' colour scale; smaller weights are black."""

_MAX_WIDTH, _MAX_HEIGHT = 17.4, 9.8  # in inches, of up to three rows
_MIN_PANEL = 2.6  # enough for a title and a colour bar
_TITLE, _LINE, _LETTER = 0.4, 0.2, 0.08  # size of a row's title, of a line and a letter below
_TICKS = (1e-3, 1e-2, 0.1, 0.2, 0.5, 1, 1.5, 2, 3, 5, 10, 20, 50, 100, 1e3, 1e4, 1e5, 1e6)


class WeighedImage(NamedTuple):
    """An image with its losses and weights.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        label: (H, W) class indices 0 … C - 1; any value where not valid.
        prediction: (H, W) class indices.
        valid: (H, W) bool, False where the label is ignored.
        pixel_loss: (H, W), ≥ 0.
        weight: (H, W), ≥ 0, in units of a pixel's weight in the mean.
        name: Name of the image.
    """

    image: np.ndarray
    label: np.ndarray
    prediction: np.ndarray
    valid: np.ndarray
    pixel_loss: np.ndarray
    weight: np.ndarray
    name: str = ''


def pixel_weight_figure(
    rows: Sequence[WeighedImage],
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
    title: str,
) -> Figure:
    """Draws image, label, prediction, pixel loss and weight side by side, a row per image.

    The weights have a logarithmic colour scale with its centre at 1, a pixel's weight in the mean.
    Yellow pixels weigh more, blue ones less, and black ones hardly or not at all (below
    :data:`LEAST_WEIGHT`). Pixels whose label is ignored are grey. A legend names the classes that
    occur.

    Args:
        rows: At least one image.
        classes: C names.
        palette: (C, 3) RGB colours in 0 … 255.
        title: Names the loss; shortened in the middle if it is wider than the figure.

    Returns:
        The figure, which the caller saves. With :data:`DPI` pixels per inch, it is not larger than
        1920 x 1080 pixels for up to three rows.
    """
    names, colours = [*classes, 'ignored'], np.vstack([palette, IGNORED]).astype(np.uint8)
    labels = [np.where(row.valid, row.label, len(classes)) for row in rows]
    shown = sorted(set().union(*map(np.unique, [*labels, *(row.prediction for row in rows)])))
    aspect = max(label.shape[0] / label.shape[1] for label in labels)
    entries = [names[c] for c in shown]
    loss_colours, weight_colours = _loss_colours(rows), _weight_colours(rows)

    figure, letters, legend_columns = _empty_figure(len(rows), aspect, entries)
    figure.suptitle(_shorten(title, 5 * letters), fontsize=12)
    axes = figure.subplots(len(rows), len(COLUMNS), squeeze=False)
    for line, row, label in zip(axes, rows, labels, strict=True):
        pictures = (
            row.image,
            colours[label],
            colours[row.prediction],
            loss_colours.to_rgba(_where_valid(row, row.pixel_loss), bytes=True),
            weight_colours.to_rgba(_log(_where_valid(row, row.weight)), bytes=True),
        )
        for axis, picture, column, note in zip(line, pictures, COLUMNS, _notes(row), strict=True):
            axis.imshow(picture, interpolation='nearest')
            axis.axis('off')
            axis.set_title(_shorten(f'{column}: {note}' if note else column, letters), fontsize=9)
    scale = dict(location='bottom', shrink=0.76, aspect=25, pad=0.02, panchor=False)
    _finish_loss_scale(figure.colorbar(loss_colours, ax=axes[:, 3], extend='max', **scale))
    _finish_weight_scale(figure.colorbar(weight_colours, ax=axes[:, 4], extend='min', **scale))
    figure.legend(
        handles=[Patch(facecolor=colours[c] / 255, edgecolor='0.4', label=names[c]) for c in shown],
        loc='outside lower left', ncols=legend_columns, fontsize=9, frameon=False,
        labelspacing=0.4,
    )  # fmt: skip
    return figure


def _empty_figure(rows: int, aspect: float, entries: Sequence[str]) -> tuple[Figure, int, int]:
    """Makes the figure; returns it, the letters that fit over a panel, and legend columns.

    Panels are as large as a screen allows for up to three rows; Matplotlib arranges them.
    """
    width = _MAX_WIDTH
    while True:
        columns = max(1, int(width / (0.6 + _LETTER * max(map(len, entries)))))
        around = 1.4 + _LINE * ceil(len(entries) / columns)
        height = min(width / len(COLUMNS) * aspect, (_MAX_HEIGHT - around) / min(rows, 3) - _TITLE)
        fitting = len(COLUMNS) * max(height / aspect, _MIN_PANEL)
        if fitting >= 0.95 * width:
            break
        width = max(fitting, 0.95 * width)  # tall images leave room beside them
    # No pyplot, which would keep the figure; training makes many.
    figure = Figure((width, around + rows * (height + _TITLE)), DPI, layout='constrained')
    return figure, int(width / len(COLUMNS) / 0.078), columns


def figure_to_array(figure: Figure) -> np.ndarray:
    """Draws a figure as (H, W, 3) uint8 RGB, in its own resolution."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _notes(row: WeighedImage) -> tuple[str, ...]:
    """Returns a note for each panel: its name, or a summary of its valid pixels."""
    if not row.valid.any():
        return row.name, 'no labelled pixel', '', '', ''
    right = (row.prediction == row.label)[row.valid].mean()
    loss = row.pixel_loss[row.valid].mean()
    return row.name, '', f'{100 * right:.3g} % right', f'mean {loss:.3g}', _support(row)


def _support(row: WeighedImage) -> str:
    weight = torch.from_numpy(np.where(row.valid, row.weight, 0)).reshape(1, -1)
    support = weight_support(weight, torch.from_numpy(row.valid).reshape(1, -1)).item()
    return 'no weight' if np.isnan(support) else f'90 % on {100 * support:.3g} % of the pixels'


def _where_valid(row: WeighedImage, values: np.ndarray) -> np.ndarray:
    return np.where(row.valid, values, np.nan)


def _log(weight: np.ndarray) -> np.ndarray:
    with np.errstate(divide='ignore'):  # -inf is below every limit
        return np.log10(weight)


def _loss_colours(rows: Sequence[WeighedImage]) -> ScalarMappable:
    """Colours losses up to what one pixel in 200 exceeds: a few must not hide the rest."""
    losses = np.concatenate([row.pixel_loss[row.valid] for row in rows])
    losses = losses[np.isfinite(losses)]
    highest = np.quantile(losses, 0.995) if losses.size else 0
    colours = matplotlib.colormaps['viridis'].with_extremes(bad=np.divide(IGNORED, 255))
    return ScalarMappable(Normalize(0, max(highest, 1e-6)), colours)


def _weight_colours(rows: Sequence[WeighedImage]) -> ScalarMappable:
    """Colours weights from smallest to largest on a log scale, with the centre at 1."""
    weights = np.concatenate([row.weight[row.valid] for row in rows])
    weights = weights[np.isfinite(weights) & (weights > 0)]
    lowest, highest = weights.min(initial=0.5), weights.max(initial=2)
    limits = np.log10([max(lowest, LEAST_WEIGHT), highest])
    colours = matplotlib.colormaps['cividis'].with_extremes(
        under='black', bad=np.divide(IGNORED, 255)
    )
    return ScalarMappable(TwoSlopeNorm(0, *limits), colours)


def _finish_loss_scale(bar: Colorbar) -> None:
    bar.locator = MaxNLocator(4)
    _finish_scale(bar, 'loss of the pixel')


def _finish_weight_scale(bar: Colorbar) -> None:
    ticks = _ticks(bar.norm)
    bar.set_ticks(np.log10(ticks), labels=[f'{tick:g}' for tick in ticks])
    _finish_scale(bar, 'weight; 1 is what the mean gives')


def _ticks(norm: TwoSlopeNorm) -> list[float]:
    """Returns 1 and other round weights, not too close to one another on the scale."""
    chosen = [1]
    for tick in sorted(_TICKS, key=lambda tick: abs(np.log10(tick))):
        place = norm(np.log10(tick))
        inside = norm.vmin - 1e-9 <= np.log10(tick) <= norm.vmax + 1e-9
        if inside and all(abs(place - norm(np.log10(other))) > 0.16 for other in chosen):
            chosen.append(tick)
    return sorted(chosen)


def _finish_scale(bar: Colorbar, label: str) -> None:
    bar.minorticks_off()
    bar.ax.tick_params(labelsize=8)
    bar.set_label(label, fontsize=9)


def _shorten(text: str, letters: int) -> str:
    """Cuts a text in its middle to a number of letters."""
    if len(text) <= letters:
        return text
    return f'{text[: (letters - 1) // 2]}…{text[len(text) - letters // 2 :]}'
