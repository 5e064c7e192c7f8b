"""How many pixels of a label map have which value."""

import numpy as np


def count_pixels(label: np.ndarray) -> np.ndarray:
    """Counts the pixels of each value of a uint8 label (H, W), int64 (256,)."""
    return np.bincount(label.ravel(), minlength=256)


def pixels_of_values(label: np.ndarray) -> dict[int, int]:
    """Counts the pixels of each value that occurs.

    Args:
        label (np.ndarray): Integers (H, W).

    Example:
        >>> pixels_of_values(np.array([[3, 255], [3, 3]], np.uint8))
        {3: 3, 255: 1}
    """
    if label.dtype == np.uint8:
        numbers = count_pixels(label)
        values = np.flatnonzero(numbers)
        numbers = numbers[values]
    else:
        values, numbers = np.unique(label, return_counts=True)
    return dict(zip(values.tolist(), numbers.tolist(), strict=True))
