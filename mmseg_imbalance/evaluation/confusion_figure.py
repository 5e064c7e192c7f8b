"""Draws which class is predicted as which, as a matrix."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

MAX_NUMBERED = 25
"""Largest number of classes with numbers in cells."""


def confusion_figure(classes: Sequence[str], confusion: np.ndarray) -> Figure:
    """Draws a confusion matrix, every row in percent of its true class.

    With up to 25 classes, the cells show their percentage unless it rounds to 0. The row of a class
    without pixels is grey.

    Args:
        classes: C names, from top to bottom and from left to right.
        confusion: (C, C), the entry [t, p] counts the pixels of class t predicted as p.

    Returns:
        The figure, sized to fit the classes and their names. The caller saves it.
    """
    total = confusion.sum(1, keepdims=True)
    percent = np.full(confusion.shape, np.nan)
    np.divide(100 * confusion, total, out=percent, where=total > 0)

    numbered = len(classes) <= MAX_NUMBERED
    cell = 0.36 if numbered else 0.15  # inches
    side = max(cell * len(classes), 2.2) + 0.09 * max(map(len, classes))
    # No pyplot, which would keep the figure; training makes one at every validation.
    figure = Figure(figsize=(side + 1.5, side + 0.8), layout='constrained')
    axis = figure.subplots()
    image = axis.imshow(percent, cmap='cividis', vmin=0, vmax=100, interpolation='nearest')
    axis.set_facecolor('0.85')  # shown for NaN
    ticks, size = np.arange(len(classes)), 9 if numbered else 7
    axis.set_xticks(ticks, classes, rotation=90, fontsize=size)
    axis.set_yticks(ticks, classes, fontsize=size)
    axis.set(xlabel='predicted class', ylabel='true class')
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    figure.colorbar(image, label="% of the true class's pixels", shrink=0.7, aspect=25)
    if numbered:
        _write_numbers(axis, percent)
    return figure


def _write_numbers(axis, percent: np.ndarray) -> None:
    for (row, column), value in np.ndenumerate(percent):
        if value >= 0.5:  # not NaN, and not 0 when rounded
            axis.text(
                column, row, f'{value:.0f}', ha='center', va='center', fontsize=8,
                color='black' if value > 50 else 'white',
            )  # fmt: skip
