"""Reads the scores of every class that a metric wrote, and makes sure that they are right."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mmseg_imbalance.evaluation.scores import Scores
from mmseg_imbalance.utils.command_line import first_line
from mmseg_imbalance.utils.files import read_bytes

from .run_position import RunLogError

_MAX_BYTES = 64 << 20
_MAX_PIXELS = 1 << 53  # up to there sums are exact
_ROUNDING = 0.011  # of numbers with two decimals


def read_class_scores(file: Path, means: Mapping[str, float]) -> list[dict]:
    """Reads ``class_scores.json`` of :class:`ImbalanceMetric`.

    Means and scores are computed anew from the confusion matrix in it, so that no digit of them
    can have changed unnoticed.

    Args:
        file: The file.
        means: The validation's means in percent, as logged.

    Returns:
        A row per class, as of :meth:`Scores.rows`; None where a score is undefined.

    Raises:
        RunLogError: It is damaged, or of another validation; names it.
        OSError: It cannot be read.
    """
    try:
        content = json.loads(read_bytes(file, _MAX_BYTES))
        rows = content['classes']
        check_rows(rows)
        _check_confusion(content, rows)
    except OSError:
        raise
    except Exception as error:  # JSON can hold anything, and be nested too deeply
        raise RunLogError(f'{file} is damaged: {first_line(error)}') from error
    for key, mean in means.items():
        found = content['means'].get(key)
        if key in content['means'] and not _equal(found, mean):
            raise RunLogError(f'{file} has an {key} of {found}, the last validation {mean:.2f}')
    return rows


def check_rows(rows: Sequence[dict]) -> None:
    """Makes sure that rows have names, scores in percent and numbers of pixels.

    Raises:
        ValueError: They have not; says which.
    """
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise ValueError('it has no rows of classes')
    names = [row.get('class') for row in rows]
    texts = [name for name in names if isinstance(name, str) and name.isprintable()]
    if len(set(texts)) < len(names):
        raise ValueError('its classes have no names of their own')
    for row in rows:
        if row.keys() != rows[0].keys():
            raise ValueError(f'the row of {row["class"]} has other columns than the first')
        for key in ('IoU', 'Acc', 'training %'):
            if key in row or key != 'training %':
                _check_percentage(row, key)
        pixels = row.get('pixels', 0)
        if type(pixels) not in (int, float) or not 0 <= pixels < _MAX_PIXELS:
            raise ValueError(f'pixels of {row["class"]} are {pixels!r:.80}')
    if 'pixels' in rows[0] and not any(row['pixels'] for row in rows):
        raise ValueError('it has no pixels')


def _check_percentage(row: dict, key: str) -> None:
    value = row[key]
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return
    if type(value) not in (int, float) or not 0 <= value <= 100:
        raise ValueError(f'{key} of {row["class"]} is {value!r:.80}')


def _check_confusion(content: dict, rows: list[dict]) -> None:
    """Compares rows and means with the confusion matrix that they come from."""
    confusion = content['confusion']
    entries = [entry for line in confusion for entry in line]
    if [len(line) for line in confusion] != [len(rows)] * len(rows):
        raise ValueError(f'its confusion matrix is not {len(rows)} x {len(rows)}')
    if not all(type(entry) is int and 0 <= entry < _MAX_PIXELS for entry in entries):
        raise ValueError('its confusion matrix has entries that are no counts')
    scores = Scores([row['class'] for row in rows], np.array(confusion, np.int64))
    for row, computed in zip(rows, scores.rows(), strict=True):
        for key, value in computed.items():
            if key != 'class' and not _equal(row[key], value):
                raise ValueError(
                    f'{key} of {row["class"]} is {row[key]}, but {value} by its confusion matrix'
                )
    for key, value in scores.means().items():
        if not _equal(content['means'][key], value):
            raise ValueError(
                f'{key} is {content["means"][key]}, but {value} by its confusion matrix'
            )


def _equal(one: float | None, two: float | None) -> bool:
    """Whether two numbers are equal up to rounding; undefined ones, None or NaN, are."""
    one, two = (math.nan if value is None else value for value in (one, two))
    return abs(one - two) <= _ROUNDING or (math.isnan(one) and math.isnan(two))
