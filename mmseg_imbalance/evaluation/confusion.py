"""Confusion matrices of label maps, and the scores of every class."""

import numpy as np


def confusion_matrix(
    pred: np.ndarray, label: np.ndarray, num_classes: int, ignore_index: int = 255
) -> np.ndarray:
    """Counts the pixels of every pair of true and predicted class.

    Args:
        pred: Predicted classes 0 … ``num_classes`` - 1, any shape, an integer dtype.
        label: True classes or ``ignore_index``, the same shape.
        num_classes: Number of classes C.
        ignore_index: Label of the pixels to leave out.

    Returns:
        int64 (C, C): the entry [t, p] counts the pixels of class t that are predicted as p.

    Raises:
        ValueError: The shapes differ, or a value is not a class.

    Example:
        >>> confusion_matrix(np.array([0, 1, 1]), np.array([0, 0, 255]), num_classes=2)
        array([[1, 1],
               [0, 0]])
    """
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


def class_scores(counts: np.ndarray) -> dict[str, np.ndarray]:
    """IoU and recall of every class.

    Args:
        counts: (3, C): pixels N, true positives TP and predicted pixels P of every class, as from
            :func:`confusion_counts` or :func:`mmseg_imbalance.ops.class_counts`, summed over
            images.

    Returns:
        ``'IoU'`` = TP / (N + P - TP) and ``'recall'`` = TP / N, float64 (C,) in [0, 1]; NaN for
        the IoU of a class that occurs neither in labels nor in predictions, and for the recall of
        one that does not occur in labels. Means over classes leave out NaN (mIoU and mAcc of
        MMSegmentation's IoUMetric).

    Example:
        >>> class_scores(np.array([[4, 4], [3, 4], [3, 5]]))['IoU'].tolist()
        [0.75, 0.8]
    """
    total, true_positive, predicted = np.asarray(counts, dtype=np.float64)
    with np.errstate(invalid='ignore'):
        return {
            'IoU': true_positive / (total + predicted - true_positive),
            'recall': true_positive / total,
        }


def confusion_counts(confusion: np.ndarray) -> np.ndarray:
    """Pixels, true positives and predicted pixels of every class.

    Args:
        confusion: (C, C) as from :func:`confusion_matrix`.

    Returns:
        (3, C), the argument of :func:`class_scores`.

    Example:
        >>> confusion_counts(np.array([[3, 1], [0, 4]])).tolist()
        [[4, 4], [3, 4], [3, 5]]
    """
    return np.stack([confusion.sum(1), np.diag(confusion), confusion.sum(0)])
