"""Pixel counts of the classes in label maps."""

from functools import partial

import numpy as np

from ..statistics.class_statistics import ClassStatistics
from ..statistics.count import BadLabelsError, count_pixels_of_classes
from ..utils.command_line import one_line
from ..utils.workers import run_in_workers
from .label_check import reason_of
from .label_maps import LabelMap, LabelMaps, find_label_maps

_NAMED = 10  # maximum number of bad label maps that an error names


def count_classes(dataset, nproc: int | None = None) -> ClassStatistics:
    """Counts the pixels of each class in every label map of a data set, without saving the counts.

    Args:
        dataset: As in :func:`find_label_maps`. Each label map is read once; if the data set repeats
            some, the statistics count their repetitions as ``draws``.
        nproc: Number of worker processes, one per CPU core if None.

    Raises:
        BadLabelsError: If label maps are missing, damaged or hold a label that is neither a class
            nor ``ignore_index``. The error names the label maps.
    """
    labels = find_label_maps(dataset)
    return count_listed_label_maps(labels, nproc).drawn(labels.repetitions)


def count_listed_label_maps(labels: LabelMaps, nproc: int | None = None) -> ClassStatistics:
    """Counts listed label maps, each of them once."""
    file_sizes = labels.file_sizes  # taken before reading, so that later changes are noticed
    count = partial(_attempt, num_classes=len(labels.classes))
    results = run_in_workers(
        count, list(labels.maps.values()), nproc, 'counting classes', chunk_size=8
    )
    keys = tuple(labels.maps)
    bad = [f'{key}: {r}' for key, r in zip(keys, results, strict=True) if isinstance(r, str)]
    if bad:
        more = f'; and {len(bad) - _NAMED} more' if len(bad) > _NAMED else ''
        raise BadLabelsError(
            f'{len(bad)} of {len(keys)} label maps below {labels.root} cannot be counted: '
            f'{"; ".join(bad[:_NAMED])}{more}; mend them, or check classes, reduce_zero_label '
            'and ignore_index of the data set'
        )
    if file_sizes is not None and (file_sizes < 0).any():  # some were read from elsewhere
        file_sizes = None
    counts = np.array(results, np.int64)
    return ClassStatistics(
        classes=labels.classes,
        keys=keys,
        pixels=counts[:, :-1],
        ignored=counts[:, -1],
        fingerprint=labels.fingerprint,
        file_sizes=file_sizes,
    )


def _attempt(label: LabelMap, num_classes: int) -> np.ndarray | str:
    """Returns pixel counts, int64 (C + 1,), with the ignored ones last, or an error message."""
    try:
        array = label.read()
    except Exception as error:  # users' loaders and files may raise anything
        return one_line(reason_of(error))
    try:
        return count_pixels_of_classes(array, num_classes, label.ignore_index)
    except ValueError as error:
        return str(error)
