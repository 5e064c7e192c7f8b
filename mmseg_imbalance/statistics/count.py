"""Counts the classes in label maps that are given as arrays."""

from collections.abc import Iterable, Sequence

import numpy as np

from ..utils.errors import FileError
from ..utils.label_values import pixels_of_values
from .class_statistics import ClassStatistics


class BadLabelsError(FileError):
    """Label maps cannot be counted; the message names them and says why."""


def count_label_maps(
    label_maps: Iterable, classes: Sequence[str], ignore_index: int = 255
) -> ClassStatistics:
    """Counts the pixels of every class in label maps, one after the other.

    Args:
        label_maps: Arrays or CPU tensors (H, W) of integers, such as from a generator over a
            PyTorch data set; the rows of the statistics have their order.
        classes: The names of the C classes 0 … C - 1.
        ignore_index: Label of the pixels that belong to no class.

    Returns:
        The statistics, whose keys are the positions ``'0'``, ``'1'``, ….

    Raises:
        BadLabelsError: If there is no label map, or one is not (H, W) or holds a label that is
            neither a class nor ignored; names its position.

    Example:
        >>> statistics = count_label_maps([np.array([[0, 0], [1, 255]])], ['road', 'pole'])
        >>> statistics.pixels.tolist(), statistics.ignored.tolist()
        ([[2, 1]], [1])
    """
    rows = []
    for position, label in enumerate(label_maps):
        if isinstance(label, tuple | dict):
            raise BadLabelsError(
                f'label map {position} is a {type(label).__name__}; pass the label maps alone, as '
                'in count_label_maps((label for _, label in dataset), classes)'
            )
        try:
            rows.append(count_pixels_of_classes(np.asarray(label), len(classes), ignore_index))
        except ValueError as error:
            raise BadLabelsError(f'label map {position} {error}') from error
    if not rows:
        raise BadLabelsError('there are no label maps to count')
    counts = np.array(rows, np.int64)
    return ClassStatistics(
        classes=tuple(classes),
        keys=tuple(map(str, range(len(rows)))),
        pixels=counts[:, :-1],
        ignored=counts[:, -1],
        fingerprint='',
    )


def count_pixels_of_classes(label: np.ndarray, num_classes: int, ignore_index: int) -> np.ndarray:
    """Counts the pixels of every class and of the ignored label in one label map.

    Args:
        label: (H, W) integers.
        num_classes: Number of classes C.
        ignore_index: The ignored label; if it is a class, its pixels are ignored.

    Returns:
        int64 (C + 1,).

    Raises:
        ValueError: If it is not (H, W) or has another label; the message continues a sentence.
    """
    if label.ndim != 2:
        raise ValueError(f'has shape {label.shape}, not (height, width)')
    counts = pixels_of_values(label)
    classes = [counts.pop(c, 0) for c in range(num_classes)]
    ignored = counts.pop(ignore_index, 0)
    if ignore_index in range(num_classes):  # this label is both, and the loss ignores it
        ignored, classes[ignore_index] = classes[ignore_index], 0
    if counts:
        found = ', '.join(f'{value} ({number} pixels)' for value, number in counts.items())
        raise ValueError(
            f'holds {found}, neither a class (0 to {num_classes - 1}) nor ignored ({ignore_index})'
        )
    return np.array([*classes, ignored], np.int64)
