"""A segmentation painted over its image, with a legend of the classes that occur."""

from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import NamedTuple

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..utils.colours import colourize

SMALLEST_FONT = 13
"""Height of the legend's letters in pixels, on small images; it grows with large ones."""


def overlay_image(
    image: np.ndarray,
    label: np.ndarray,
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
    opacity: float = 0.5,
) -> np.ndarray:
    """Paints a segmentation over its image and writes a legend under it, or beside it.

    The legend names the classes that occur, in the order of ``classes``, with their colours and
    their shares of the image. It stands below the image; beside it where it would be higher than
    the image and take more room. The image keeps its size and stays at the upper left.

    Args:
        image: (H, W, 3) uint8 RGB.
        label: (H, W) integers, a class index for every pixel.
        classes: C ≤ 256 names.
        palette: (C, 3) RGB colours in 0 … 255.
        opacity: Share of the colour in the mix with the image, in [0, 1].

    Returns:
        (H', W', 3) uint8 RGB, H' ≥ H and W' ≥ W, white where there is neither image nor legend.

    Raises:
        ValueError: Image and label differ in size, or a label is not the index of a class.

    Example:
        >>> image, label = np.zeros((90, 160, 3), np.uint8), np.zeros((90, 160), np.uint8)
        >>> overlay_image(image, label, ['road'], [[128, 64, 128]], opacity=1)[0, 0].tolist()
        [128, 64, 128]
    """
    if label.shape != image.shape[:2]:
        raise ValueError(f'the image is of shape {image.shape[:2]}, its label of {label.shape}')
    pixels = np.bincount(label.ravel(), minlength=len(classes))
    if len(pixels) > len(classes):
        raise ValueError(f'label {len(pixels) - 1} is not one of {len(classes)} classes')
    painted = cv2.addWeighted(image, 1 - opacity, colourize(label, palette), opacity, 0)
    entries = [
        (f'{classes[c]} {_percent(pixels[c] / label.size)}', tuple(map(int, palette[c])))
        for c in np.flatnonzero(pixels)
    ]
    return _with_legend(painted, entries, [f'{name} {_percent(1)}' for name in classes])


class _Legend(NamedTuple):
    """A grid of entries, filled column by column; lengths in pixels."""

    font: ImageFont.FreeTypeFont
    margin: int
    column: int
    line: int
    rows: int
    columns: int

    @property
    def width(self) -> int:
        return self.columns * self.column + self.margin

    @property
    def height(self) -> int:
        return self.rows * self.line + 2 * self.margin


def _with_legend(
    image: np.ndarray, entries: Sequence[tuple[str, tuple[int, ...]]], longest: Sequence[str]
) -> np.ndarray:
    height, width = image.shape[:2]
    below, beside = _layouts(width, height, len(entries), longest)
    size_below = max(width, below.width), height + below.height
    size_beside = width + beside.width, max(height, beside.height)
    if below.height > height and np.prod(size_beside) < np.prod(size_below):
        legend, size, corner = beside, size_beside, (width, 0)
    else:
        legend, size, corner = below, size_below, (0, height)
    canvas = Image.new('RGB', size, 'white')
    canvas.paste(Image.fromarray(image))
    _draw(canvas, legend, corner, entries)
    return np.asarray(canvas)


def _layouts(width: int, height: int, count: int, longest: Sequence[str]) -> tuple[_Legend, ...]:
    """As many columns as fit below an image, as many rows as fit beside it.

    The longest text of any class sets the width of a column, alike for all images of a data set.
    """
    size = max(SMALLEST_FONT, round(max(width, height) / 85))
    # Matplotlib brings the font along: the legend looks the same on every machine.
    font = ImageFont.truetype(
        str(Path(matplotlib.get_data_path(), 'fonts', 'ttf', 'DejaVuSans.ttf')), size
    )
    margin, line = ceil(0.5 * size), ceil(1.5 * size)
    column = ceil(max(map(font.getlength, longest)) + 1.4 * size) + 2 * margin
    columns = max(1, (width - margin) // column)
    rows = max(1, (height - 2 * margin) // line)
    return (
        _Legend(font, margin, column, line, ceil(count / columns), columns),
        _Legend(font, margin, column, line, rows, ceil(count / rows)),
    )


def _draw(canvas, legend: _Legend, corner: tuple[int, int], entries) -> None:
    draw = ImageDraw.Draw(canvas)
    size = legend.font.size
    for i, (text, colour) in enumerate(entries):
        x = corner[0] + legend.margin + i // legend.rows * legend.column
        y = corner[1] + legend.margin + i % legend.rows * legend.line
        patch = (x, y + 0.25 * size, x + size, y + 1.25 * size)
        draw.rectangle(patch, fill=colour, outline='gray')
        draw.text(
            (x + 1.4 * size, y + 0.75 * size), text, fill='black', font=legend.font, anchor='lm'
        )


def _percent(share: float) -> str:
    return f'{share:.1%}' if share >= 0.001 else '<0.1%'
