"""Pixel counts of the values in a label map."""

import numpy as np

_PIECE = 1 << 16  # pixels


def whole_numbers(label: np.ndarray) -> np.ndarray:
    """Returns a label map as integers: boolean and floating-point ones are converted.

    Raises:
        ValueError: If a value is not a whole number; names the dtype.

    Example:
        >>> whole_numbers(np.array([[0.0, 255.0]])), whole_numbers(np.array([[True]]))
        (array([[  0, 255]]), array([[1]], dtype=uint8))
    """
    if label.dtype.kind in 'iu':
        return label
    if label.dtype == bool:
        return label.astype(np.uint8)
    with np.errstate(invalid='ignore'):  # infinity and NaN differ afterwards
        whole = label.astype(np.int64) if label.dtype.kind == 'f' else None
    if whole is None or not (whole == label).all():
        raise ValueError(f'a map of dtype {label.dtype} holds values that are not class ids')
    return whole


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
        label (np.ndarray): (H, W), whole numbers in any dtype.

    Raises:
        ValueError: If a value is not a whole number; names the dtype.

    Example:
        >>> pixels_of_values(np.array([[3, 255], [3, 3]], np.uint8))
        {3: 3, 255: 1}
    """
    label = whole_numbers(label)
    if label.dtype == np.uint8:
        numbers = count_pixels(label)
        values = np.flatnonzero(numbers)
        numbers = numbers[values]
    else:
        values, numbers = np.unique(label, return_counts=True)
    return dict(zip(values.tolist(), numbers.tolist(), strict=True))
