"""Where the parts of :func:`pixel_weight_figure` are; all lengths in inches."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

NUM_COLUMNS = 5
DPI = 110
"""Pixels per inch: figures of up to three rows then fit a screen of 1920 x 1080."""

_MAX_WIDTH, _MAX_HEIGHT = 17.4, 9.8  # of up to three rows
_MARGIN, _GAP = 0.15, 0.1
_TITLE, _HEADING, _NOTE = 0.36, 0.3, 0.22  # lines of text: over everything, a column, a panel
_SCALE = 0.75  # the colour bars with their labels
_LEGEND_LINE, _LETTER = 0.19, 0.08
_MIN_CELL = 2.5  # what notes and colour bars need
_FEW_LINES = 8  # of the legend: for more than that, narrow figures are widened


@dataclass(frozen=True)
class Layout:
    """A grid of panels below a title, with colour bars and a legend below.

    Args:
        rows: Number of images.
        panel: Width and height of the largest one's panels.
        cell: Width of a column.
        legend_rows: Lines of the legend.
        legend_columns: Entries in a line of it.
    """

    rows: int
    panel: tuple[float, float]
    cell: float
    legend_rows: int
    legend_columns: int

    @classmethod
    def fit(cls, rows: int, aspect: float, names: Sequence[str]) -> 'Layout':
        """Makes the panels as large as they can be.

        Args:
            rows: Number of images.
            aspect: The largest height / width of an image.
            names: Entries of the legend, at least one.
        """
        entry = 0.55 + _LETTER * max(map(len, names))
        widest = (_MAX_WIDTH - 2 * _MARGIN - (NUM_COLUMNS - 1) * _GAP) / NUM_COLUMNS
        least = min(max(_MIN_CELL, entry * len(names) / _FEW_LINES / NUM_COLUMNS), widest)
        width = widest
        while True:
            cell = max(width, least)
            lines = ceil(len(names) / max(1, int(NUM_COLUMNS * cell / entry)))
            panel = (width, width * aspect)
            layout = cls(rows, panel, cell, lines, ceil(len(names) / lines))
            below_three = max(rows - 3, 0) * (_NOTE + layout.panel[1])
            if layout.height - below_three <= _MAX_HEIGHT or width < 0.1:
                return layout
            width *= 0.98

    @property
    def width(self) -> float:
        """Of the figure."""
        return 2 * _MARGIN + NUM_COLUMNS * self.cell + (NUM_COLUMNS - 1) * _GAP

    @property
    def height(self) -> float:
        """Of the figure."""
        rows = self.rows * (_NOTE + self.panel[1])
        return 2 * _MARGIN + _TITLE + _HEADING + rows + self.legend_bottom

    @property
    def legend_bottom(self) -> float:
        """What is below the panels: colour bars and legend."""
        return _SCALE + _LEGEND_LINE * self.legend_rows

    def panel_box(self, row: int, column: int) -> tuple[float, float, float, float]:
        """Left, bottom, width and height of a panel, as shares of the figure."""
        width, height = self.panel
        left = self._middle(column) - width / 2
        return self._share(left, self._panel_bottom(row), width, height)

    def note(self, row: int, column: int) -> tuple[float, float]:
        """Middle and bottom of the text over a panel."""
        bottom = self._panel_bottom(row) + self.panel[1] + 0.04
        return self._share(self._middle(column), bottom)

    def heading(self, column: int) -> tuple[float, float]:
        """Middle and bottom of the text over a column."""
        bottom = self.height - _MARGIN - _TITLE - _HEADING + 0.08
        return self._share(self._middle(column), bottom)

    @property
    def title(self) -> tuple[float, float]:
        """Middle and bottom of the text over everything."""
        return self._share(self.width / 2, self.height - _MARGIN - _TITLE + 0.1)

    def scale(self, column: int) -> tuple[float, float, float, float]:
        """The colour bar below a column."""
        width = 0.76 * self.cell
        bottom = _MARGIN + self.legend_bottom - 0.25
        return self._share(self._middle(column) - width / 2, bottom, width, 0.12)

    @property
    def legend(self) -> tuple[float, float]:
        """Left and top of the legend."""
        return self._share(_MARGIN, _MARGIN + _LEGEND_LINE * self.legend_rows)

    @staticmethod
    def letters(points: float, width: float) -> int:
        """How many letters of a font size fit into a width."""
        return int(width / (0.0083 * points))

    def _middle(self, column: int) -> float:
        return _MARGIN + column * (self.cell + _GAP) + self.cell / 2

    def _panel_bottom(self, row: int) -> float:
        below = self.rows - 1 - row
        return _MARGIN + self.legend_bottom + below * (_NOTE + self.panel[1])

    def _share(self, *lengths: float) -> tuple[float, ...]:
        """Lengths, horizontal and vertical in turn, as shares of the figure's."""
        return tuple(x / (self.height if i % 2 else self.width) for i, x in enumerate(lengths))
