"""Class statistics, made to measure."""

import numpy as np

from mmseg_imbalance.statistics.class_statistics import ClassStatistics


def make_statistics(pixels, classes=None):
    """Those of label maps with ``pixels[i][c]`` pixels of class c."""
    pixels = np.array(pixels, np.int64)
    n, c = pixels.shape
    return ClassStatistics(
        classes=classes or tuple(f'class {i}' for i in range(c)),
        keys=tuple(f'{i}.png' for i in range(n)),
        pixels=pixels,
        ignored=np.zeros(n, np.int64),
        fingerprint='',
    )
