"""Scores of every class, and their means over all classes and over groups of classes."""

import csv
import io
import json
from collections.abc import Sequence

import numpy as np

from .class_groups import GROUPS
from .confusion import class_scores, confusion_counts

NAMES = {'IoU': 'IoU', 'recall': 'Acc', 'precision': 'Precision', 'F1': 'F1'}
"""The scores, and their names in MMSegmentation's metrics."""


class Scores:
    """Class scores and means from a confusion matrix, in percent.

    Args:
        classes (Sequence): C names; numbers become text.
        confusion (np.ndarray): (C, C) as from :func:`confusion_matrix`.
        share (np.ndarray, optional): (C,) share of every class in the training pixels, in [0, 1].
            If given, classes are sorted, rarest last.
        groups (Sequence[str], optional): One of :data:`GROUPS` for every class; needs ``share``.
        image_share (np.ndarray, optional): (C,) share of the training images that hold a class, in
            [0, 1].

    Attributes:
        classes (list[str]): The names, sorted.
        confusion (np.ndarray): The matrix, in the order of the names.
        per_class (dict[str, np.ndarray]): ``'IoU'``, ``'Acc'``, ``'Precision'`` and ``'F1'``,
            float64 (C,) in percent and in the order of the names, NaN where :func:`class_scores`
            says so.

    Raises:
        ValueError: If the matrix is not (C, C).
    """

    def __init__(
        self,
        classes: Sequence[str],
        confusion: np.ndarray,
        share: np.ndarray | None = None,
        groups: Sequence[str] | None = None,
        image_share: np.ndarray | None = None,
    ) -> None:
        if confusion.shape != (len(classes), len(classes)):
            raise ValueError(f'confusion is {confusion.shape} for {len(classes)} classes')
        order = np.arange(len(classes)) if share is None else np.argsort(-share, kind='stable')
        self.classes = [str(classes[c]) for c in order]
        self.confusion = confusion[np.ix_(order, order)]
        self._share = None if share is None else share[order]
        self._groups = None if groups is None else np.asarray(groups)[order]
        self._image_share = None if image_share is None else image_share[order]
        scores = class_scores(confusion_counts(self.confusion), tuple(NAMES))
        self.per_class = {NAMES[name]: 100 * values for name, values in scores.items()}

    def means(self) -> dict[str, float]:
        """Returns aAcc and means over classes in percent, with two decimals, NaN if undefined.

        Keys of means are ``'mIoU'``, ``'mAcc'``, ``'mPrecision'`` and ``'mF1'``, and the same with
        ``'_head'``, ``'_medium'`` and ``'_tail'`` for the groups that have classes.
        """
        accuracy = self.confusion.trace() / (self.confusion.sum() or np.nan)
        means = {'aAcc': round(100 * float(accuracy), 2)}
        for name, values in self.per_class.items():
            means[f'm{name}'] = _mean(values)
        for group in GROUPS:
            members = self._groups == group  # False where there are no groups
            if np.any(members):
                for name, values in self.per_class.items():
                    means[f'm{name}_{group}'] = _mean(values[members])
        return means

    def rows(self) -> list[dict[str, str | int | float | None]]:
        """Returns a row per class: scores in percent with two decimals, None if undefined.

        ``pixels`` and ``predicted`` count the evaluated pixels by label and by prediction.
        ``group``, ``training %``, the share in the training pixels, and ``images %``, the share of
        the training images that hold the class, are added if known.
        """
        pixels, _, predicted = confusion_counts(self.confusion)
        rows = []
        for c, name in enumerate(self.classes):
            row = {'class': name}
            if self._groups is not None:
                row['group'] = str(self._groups[c])
            if self._share is not None:
                row['training %'] = float(f'{100 * self._share[c]:.3g}')
            if self._image_share is not None:
                row['images %'] = float(f'{100 * self._image_share[c]:.3g}')
            row |= {'pixels': int(pixels[c]), 'predicted': int(predicted[c])}
            rows.append(row | {key: _known(values[c]) for key, values in self.per_class.items()})
        return rows

    def to_table(self) -> str:
        """Draws the rows as a table for terminals; needs ``prettytable``."""
        from prettytable import PrettyTable  # imported late: optional without MMSegmentation

        rows = self.rows()
        table = PrettyTable(list(rows[0]), align='r')
        table.align['class'] = table.align['group'] = 'l'
        for row in rows:
            table.add_row([_text(value) for value in row.values()])
        return table.get_string()

    def to_csv(self) -> str:
        """Writes the rows as comma-separated values, empty if undefined."""
        rows = self.rows()
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), lineterminator='\n')
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue()

    def to_json(self) -> str:
        """Writes means, rows and confusion matrix ([true][predicted], in the order of rows)."""
        content = {
            'means': {key: _known(value) for key, value in self.means().items()},
            'classes': self.rows(),
            'confusion': self.confusion.tolist(),
        }
        return json.dumps(content, ensure_ascii=False, allow_nan=False) + '\n'


def _mean(values: np.ndarray) -> float:
    defined = values[~np.isnan(values)]
    return round(float(defined.mean()), 2) if defined.size else float('nan')


def _known(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 2)


def _text(value: str | int | float | None) -> str:
    if value is None:
        return '–'
    return f'{value:.2f}' if isinstance(value, float) else str(value)
