"""Class weights from class frequencies."""

import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np

from ..utils.files import write_atomically
from .class_statistics import ClassStatistics

_AUTO_SPAN = 10  # the rarest class weighs at most ten times as much as the most frequent one

SUFFIXES = ('.npy', '.json', '.yaml', '.yml')
"""Suffixes of the files that :func:`save_class_weights` writes and the losses read."""
METHODS = (
    'auto',
    'inverse_frequency',
    'sqrt_inverse_frequency',
    'median_frequency',
    'effective_number',
    'enet',
)
"""Names of the methods of :func:`class_weights`."""


def class_weights(statistics: ClassStatistics, method: str, beta: float = 0.999) -> list[float]:
    """Computes a weight for every class.

    Of all pixels that are not ignored, f is a class's share, and g its share in the images that
    hold it; n is the number of these images:

    ==========================  ===================  ==============================================
    method                      weight               source
    ==========================  ===================  ==============================================
    ``auto``                    1 / fᵃ, mean 1       a is 1/2, or less where the weight of the
                                                     rarest class would otherwise be more than ten
                                                     times that of the most frequent one; a class
                                                     of a few pixels thus makes all weights alike
    ``inverse_frequency``       1 / f, mean 1
    ``sqrt_inverse_frequency``  1 / √f, mean 1
    ``median_frequency``        median(g) / g        Eigen and Fergus, ICCV 2015, arXiv:1411.4734
    ``effective_number``        (1 − β) / (1 − βⁿ),  Cui et al., CVPR 2019, arXiv:1901.05555; n
                                mean 1               counts images, since neighbouring pixels are
                                                     not independent samples
    ``enet``                    1 / ln(1.02 + f)     Paszke et al. 2016, arXiv:1606.02147
    ==========================  ===================  ==============================================

    A class without a pixel gets 0, since it has no label to weigh, and is left out of means and
    median.

    Args:
        statistics: The statistics of the training data.
        method: One of :data:`METHODS`.
        beta: β of ``effective_number``, in (0, 1): the closer to 1, the more a rare class weighs.

    Returns:
        C weights, finite and ≥ 0.

    Raises:
        ValueError: If method is unknown, ``beta`` is out of range or no class has a pixel.
    """
    if method not in METHODS:
        raise ValueError(f'unknown method {method!r}, known are {", ".join(METHODS)}')
    if not 0 < beta < 1:
        raise ValueError(f'beta must be between 0 and 1, got {beta}')
    present = statistics.pixel_share > 0
    if not present.any():
        raise ValueError('no class has a pixel, so none can be weighed')
    with np.errstate(divide='ignore', invalid='ignore'):  # for classes without a pixel
        weights = np.where(present, _weights(statistics, method, beta), 0)
    if method not in ('median_frequency', 'enet'):
        weights = weights / weights[present].mean()
    return weights.tolist()


def _weights(statistics: ClassStatistics, method: str, beta: float) -> np.ndarray:
    """Computes a method's formula; not finite for classes without a pixel."""
    share, pixels = statistics.pixel_share, statistics.pixels
    if method == 'enet':
        return 1 / np.log(1.02 + share)
    if method == 'median_frequency':
        around = statistics.total(pixels.sum(1)[:, None] * (pixels > 0))
        frequency = statistics.total(pixels) / around
        return np.nanmedian(frequency) / frequency
    if method == 'effective_number':
        return (1 - beta) / (1 - beta ** statistics.total(pixels > 0))
    imbalance = share.max() / share[share > 0].min()
    exponents = {
        'auto': min(0.5, np.log(_AUTO_SPAN) / np.log(imbalance)),
        'inverse_frequency': 1,
        'sqrt_inverse_frequency': 0.5,
    }
    return share ** -exponents[method]


def save_class_weights(weights: Sequence[float], path: str | Path) -> None:
    """Writes weights to a file for the losses' ``class_weight``: .json, .yaml, .yml or .npy.

    Raises:
        ValueError: If the file has another suffix.
    """
    check_suffix(path)
    path, weights = Path(path), list(weights)
    if path.suffix == '.npy':
        buffer = BytesIO()
        np.save(buffer, np.array(weights, np.float64), allow_pickle=False)
        data = buffer.getvalue()
    elif path.suffix == '.json':
        data = json.dumps(weights).encode()
    else:
        import yaml  # imported late: optional without MMSegmentation

        data = yaml.safe_dump(weights).encode()
    write_atomically(path, data)


def check_suffix(path: str | Path) -> None:
    """Checks that :func:`save_class_weights` can write a file of this name.

    Raises:
        ValueError: If it cannot.
    """
    if Path(path).suffix not in SUFFIXES:
        raise ValueError(f'{path}: class weights are kept in {", ".join(SUFFIXES)} files')
