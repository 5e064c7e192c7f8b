"""Frequent classes that a training neglects, for a warning."""

from collections.abc import Sequence

import numpy as np

from ..evaluation.confusion import class_scores

_FREQUENT = 0.1  # share of the labelled pixels
_FAR_BELOW = 0.5
_TOO_MANY = 2


def neglected_classes(counts: np.ndarray, classes: Sequence[str]) -> list[str]:
    """Describes frequent classes that are recognised more rarely than by a blind guess.

    A guess that draws classes by their frequency recognises a class that holds the share f of the
    pixels in f of its pixels. A network that stays far below this, and predicts rare classes far
    more often than they occur, has been taught so, by weights or sampling that favour rare classes
    too much.

    Args:
        counts: (3, C): pixels, true positives and predicted pixels of every class in training.
        classes: Their C names.

    Returns:
        A phrase for every class that has at least 10 % of the pixels and a recall below half of
        its share; none unless all classes below 10 % together are predicted in twice their pixels.

    Example:
        >>> neglected_classes(np.array([[95, 5], [19, 5], [19, 81]]), ('road', 'pole'))
        ['road (95 % of the pixels, recall 20 %)']
    """
    share = counts[0] / max(counts[0].sum(), 1)
    rare = share < _FREQUENT
    if counts[2, rare].sum() <= _TOO_MANY * counts[0, rare].sum():
        return []
    recall = class_scores(counts, ['recall'])['recall']
    return [
        f'{cls} ({100 * f:.0f} % of the pixels, recall {100 * r:.0f} %)'
        for cls, f, r in zip(classes, share, recall, strict=True)
        if f >= _FREQUENT and r < _FAR_BELOW * f
    ]
