"""Pixel counts of the values in a label map."""

import numpy as np

_PIECE = 1 << 16  # pixels


def count_pixels(label: np.ndarray) -> np.ndarray:
    """Counts the pixels of each value of a uint8 label map (H, W), int64 (256,)."""
    # In pieces, because np.bincount makes an int64 copy of its input, which should fit the cache.
    flat, counts = label.ravel(), np.zeros(256, np.int64)
    for start in range(0, flat.size, _PIECE):
        counts += np.bincount(flat[start : start + _PIECE], minlength=256)
    return counts


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
