"""Which images hold which class, for what chooses images by their classes."""

from collections.abc import Sized

import numpy as np

from ..statistics.class_statistics import ClassStatistics


def class_holders(
    dataset: Sized,
    statistics: str | ClassStatistics | None,
    min_pixels: int,
    alone: bool = False,
) -> tuple[ClassStatistics, list[np.ndarray]]:
    """Finds the images that hold each class.

    Args:
        dataset: A data set of MMEngine, wrapped or not, whose label maps are counted if there is no
            file, or any other one.
        statistics: Their file, None for the one beside the data, or the statistics themselves. For
            a data set that is none of MMEngine they have one row per image, in its order.
        min_pixels: Pixels of a class that an image needs to hold it.
        alone: Whether only this process needs them, as for
            :func:`mmseg_imbalance.datasets.class_statistics`.

    Returns:
        The statistics, and for each class the ascending indices of the images that hold it.

    Raises:
        ValueError: If the statistics are missing, cannot be read or were made for other data.
    """
    counted, rows = _counted(dataset, statistics, alone)
    holds = (counted.pixels >= min_pixels)[rows]
    return counted, [np.flatnonzero(column) for column in holds.T]


def _counted(dataset, statistics, alone: bool) -> tuple[ClassStatistics, np.ndarray]:
    """Returns the statistics of a data set, and every image's row in them."""
    listed = hasattr(dataset, 'metainfo')  # a data set of MMEngine knows its label maps
    if not listed:
        if statistics is None:
            raise ValueError(
                'statistics are missing: count_label_maps of mmseg_imbalance.statistics makes them'
            )
        if not isinstance(statistics, ClassStatistics):
            statistics = ClassStatistics.load(statistics)
    loaded = isinstance(statistics, ClassStatistics)
    if loaded and not (listed and statistics.fingerprint):  # rows in the order of the data set
        if len(statistics.keys) != len(dataset):
            raise ValueError(
                f'the statistics have {len(statistics.keys)} label maps, the data set '
                f'{len(dataset)} images; count the label maps of the data set in its order'
            )
        return statistics, np.arange(len(dataset))
    from ..datasets import class_statistics, find_label_maps, label_rows  # imported late

    labels = find_label_maps(dataset)  # once, since large data sets take a while
    counted = class_statistics(labels, statistics, alone=alone)
    return counted, label_rows(labels, counted)
