"""Groups of classes by their share of the training pixels: head, medium and tail."""

import numpy as np

GROUPS = ('head', 'medium', 'tail')


def class_groups(share: np.ndarray, head: float = 0.05, tail: float = 0.02) -> tuple[str, ...]:
    """Sorts classes into head, medium and tail.

    Args:
        share: (C,) share of every class in the training pixels, in [0, 1].
        head: A class with at least this share belongs to the head.
        tail: A class with less than this share belongs to the tail.

    Returns:
        One of :data:`GROUPS` per class.

    Raises:
        ValueError: Unless 0 ≤ tail ≤ head ≤ 1.

    Example:
        >>> class_groups(np.array([0.9, 0.01, 0.02]))
        ('head', 'tail', 'medium')
    """
    if not 0 <= tail <= head <= 1:
        raise ValueError(
            f'head and tail are shares of the training pixels with 0 ≤ tail ≤ head ≤ 1, got '
            f'head={head} and tail={tail}'
        )
    names = np.select([share >= head, share < tail], ['head', 'tail'], 'medium')
    return tuple(names.tolist())
