"""Confusion matrices of label maps, and the scores of every class."""

from collections.abc import Mapping, Sequence

import numpy as np

from ..utils.label_values import whole_numbers


def confusion_matrix(
    pred: np.ndarray, label: np.ndarray, num_classes: int, ignore_index: int = 255
) -> np.ndarray:
    """Counts the pixels of every pair of true and predicted class.

    Args:
        pred: Predicted classes 0 … ``num_classes`` - 1, any shape, whole numbers in any dtype; an
            array or a CPU tensor.
        label: True classes or ``ignore_index``, the same shape.
        num_classes: Number of classes C.
        ignore_index: Label of the pixels to leave out.

    Returns:
        int64 (C, C): the entry [t, p] counts the pixels of class t that are predicted as p.

    Raises:
        ValueError: If the shapes differ, a value is not a class or no whole number.

    Example:
        >>> confusion_matrix(np.array([0, 1, 1]), np.array([0, 0, 255]), num_classes=2)
        array([[1, 1],
               [0, 0]])
    """
    pred, label = (whole_numbers(np.asarray(values)) for values in (pred, label))
    if pred.shape != label.shape:
        raise ValueError(f'the prediction is {pred.shape}, its label {label.shape}')
    valid = label != ignore_index
    pred, label = pred[valid].astype(np.int64), label[valid].astype(np.int64)
    for name, values in (('prediction', pred), ('label', label)):
        if values.size and not (0 <= values.min() and values.max() < num_classes):
            wrong = values[(values < 0) | (values >= num_classes)][0]
            raise ValueError(f'the {name} {wrong} is not one of the classes 0 … {num_classes - 1}')
    counts = np.bincount(label * num_classes + pred, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


def class_scores(
    counts: np.ndarray, names: Sequence[str] = ('IoU', 'recall')
) -> dict[str, np.ndarray]:
    """Computes scores of every class.

    - ``'IoU'`` = TP / (N + P - TP), NaN for a class neither in labels nor in predictions
    - ``'recall'`` = TP / N, NaN for a class not in labels
    - ``'precision'`` = TP / P, NaN for a class not in predictions
    - ``'F1'`` = 2 TP / (N + P), NaN for a class neither in labels nor in predictions

    Means over classes leave out NaN. They are mIoU, mAcc, mPrecision and mDice of MMSegmentation's
    IoUMetric. Unlike the mean F1 here, its mFscore leaves out classes without true positives, and
    so rises when a rare class is given up.

    Args:
        counts: (3, C): pixels N, true positives TP and predicted pixels P of every class, as from
            :func:`confusion_counts` or :func:`mmseg_imbalance.ops.class_counts`, summed over
            images.
        names: Names of the scores.

    Returns:
        float64 (C,) in [0, 1] or NaN, for each name.

    Example:
        >>> class_scores(np.array([[4, 4], [3, 4], [3, 5]]))['IoU'].tolist()
        [0.75, 0.8]
    """
    total, true_positive, predicted = np.asarray(counts, dtype=np.float64)
    divisors = {
        'IoU': total + predicted - true_positive,
        'recall': total,
        'precision': predicted,
        'F1': (total + predicted) / 2,
    }
    with np.errstate(invalid='ignore'):
        return {name: true_positive / divisors[name] for name in names}


def class_scalars(
    tag: str, scores: Mapping[str, np.ndarray], classes: Sequence[str]
) -> dict[str, float]:
    """Names the scores of every class as curves, ``<tag>/<score>/<class>``; NaN is left out.

    Args:
        tag: First part of the names.
        scores: Maps each score's name to (C,).
        classes: C names.

    Example:
        >>> class_scalars('val', {'IoU': np.array([0.5, np.nan])}, ['road', 'sky'])
        {'val/IoU/road': 0.5}
    """
    return {
        f'{tag}/{score}/{name}': float(value)
        for score, values in scores.items()
        for name, value in zip(classes, values, strict=True)
        if not np.isnan(value)
    }


def confusion_counts(confusion: np.ndarray) -> np.ndarray:
    """Returns pixels, true positives and predicted pixels by class.

    Args:
        confusion: (C, C) as from :func:`confusion_matrix`.

    Returns:
        (3, C), the argument of :func:`class_scores`.

    Example:
        >>> confusion_counts(np.array([[3, 1], [0, 4]])).tolist()
        [[4, 4], [3, 4], [3, 5]]
    """
    return np.stack([confusion.sum(1), np.diag(confusion), confusion.sum(0)])
