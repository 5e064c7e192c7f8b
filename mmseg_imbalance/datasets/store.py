"""Class statistics are counted once and kept in a file."""

import secrets
from pathlib import Path

import numpy as np
from mmengine.dist import broadcast_object_list, get_world_size, is_main_process
from mmengine.logging import print_log

from ..statistics.class_statistics import ClassStatistics
from ..utils.errors import FileError
from .count import count_listed_label_maps
from .label_maps import LabelMaps, find_label_maps

_COUNT_ANEW = (
    'count anew with tools/analysis_tools/class_statistics.py --force, or name another file '
    'with the argument statistics (--out of the tool)'
)


class StaleStatisticsError(FileError):
    """The file holds the statistics of other or changed label maps; says which and what to do."""


def class_statistics(
    dataset, path: str | Path | None = None, nproc: int | None = None
) -> ClassStatistics:
    """Loads a data set's class statistics, or counts and keeps them where the file is missing.

    In a distributed run every process has to call this; one loads or counts, and the others get
    the result from it. They wait no longer than the process group's timeout (by default 10
    minutes with NCCL), so the statistics of large data sets are best made before.

    Args:
        dataset: What :func:`find_label_maps` takes.
        path: The file, see :func:`default_path` if None.
        nproc: Number of worker processes that count, one per CPU core if None.

    Raises:
        StaleStatisticsError: If the file was made from other label maps or by other rules, or a
            label map has another size in bytes than when it was counted.
        BadLabelsError: If label maps are missing, damaged or hold other labels.
        ValueError: If the file is damaged.
        OSError: If it cannot be written.
        ToolError: If a worker process dies.
        RuntimeError: If the process that loads or counts has failed; that one says why.
    """
    labels = find_label_maps(dataset)
    path = Path(path or default_path(labels))
    if get_world_size() == 1:
        return load_or_count(labels, path, nproc)
    outcome: list = [None]
    failure = None
    if is_main_process():
        try:
            outcome = [load_or_count(labels, path, nproc)]
        except Exception as error:  # or the others would wait for ever
            failure = error
            outcome = [f'{type(error).__name__}: {error}']
    broadcast_object_list(outcome)
    if failure is not None:
        raise failure
    if isinstance(outcome[0], str):
        raise RuntimeError(f'no class statistics from the main process: {outcome[0]}')
    return outcome[0]


def label_rows(dataset, statistics: ClassStatistics) -> np.ndarray:
    """Returns for every index of a data set the row of its label map in the statistics.

    Args:
        dataset: The data set, or another wrapping of it.
        statistics: Its statistics.

    Returns:
        np.ndarray: int64 (len(dataset),).

    Raises:
        StaleStatisticsError: If a label map is not in the statistics; names it.
    """
    labels = find_label_maps(dataset)
    row_of = {key: row for row, key in enumerate(statistics.keys)}
    for key in labels.maps:
        if key not in row_of:
            raise StaleStatisticsError(f'{key} is not in the class statistics; {_COUNT_ANEW}')
    return np.array([row_of[key] for key in labels.maps], np.int64)[labels.rows]


def default_path(labels: LabelMaps) -> Path:
    """Where statistics are kept: ``<data root>/class_statistics/<start of fingerprint>.npz``.

    Raises:
        ValueError: If the data root is no folder but an address, or data roots share no folder.
    """
    if '://' in labels.root or not labels.root:
        raise ValueError(
            f'class statistics cannot be kept below {labels.root or "/"}, which the label maps '
            'share; name a file with the argument '
            'statistics (--out of the tool)'
        )
    return Path(labels.root) / 'class_statistics' / f'{labels.fingerprint[:12]}.npz'


def load_or_count(labels: LabelMaps, path: Path, nproc: int | None = None) -> ClassStatistics:
    """Does the work of :func:`class_statistics` in one process."""
    if not path.exists():
        return count_and_save(labels, path, nproc)
    statistics = ClassStatistics.load(path)
    if statistics.fingerprint != labels.fingerprint:
        raise StaleStatisticsError(f'{path}: {_difference(statistics, labels)}; {_COUNT_ANEW}')
    changed = _changed(statistics, labels)
    if changed:
        raise StaleStatisticsError(
            f'{path}: {len(changed)} of {len(statistics.keys)} label maps have changed since they '
            f'were counted: {_some(changed)}; {_COUNT_ANEW}'
        )
    return statistics


def count_and_save(labels: LabelMaps, path: Path, nproc: int | None = None) -> ClassStatistics:
    """Counts label maps and writes the statistics, over an older file if there is one.

    Raises:
        BadLabelsError: If label maps are missing, damaged or hold other labels.
        OSError: If the file cannot be written; noticed before anything is counted.
    """
    _check_writable(path)
    print_log(f'Counting the classes of {len(labels.maps)} label maps, once, for {path}', 'current')
    statistics = count_listed_label_maps(labels, nproc)
    statistics.save(path)
    return statistics


def _check_writable(path: Path) -> None:
    probe = path.with_name(f'.{path.name}.{secrets.token_hex(4)}.probe')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
        if path.is_dir():
            raise IsADirectoryError(None, 'Is a directory')
    except OSError as error:
        raise OSError(
            f'{path} cannot be written ({error.strerror}); name another file with the argument '
            'statistics (--out of the tool)'
        ) from error


def _difference(statistics: ClassStatistics, labels: LabelMaps) -> str:
    if statistics.classes != labels.classes:
        return f'counted for other classes, {_some(statistics.classes)}'
    known, wanted = set(statistics.keys), set(labels.maps)
    if known == wanted:
        return (
            'counted from the same label maps, but with another label_map, reduce_zero_label, '
            'ignore_index or annotation loading'
        )
    parts = [f'counted from {len(known)} label maps, but the data set has {len(wanted)}']
    if wanted - known:
        parts.append(f'not counted: {_some(sorted(wanted - known))}')
    if known - wanted:
        parts.append(f'not in the data set: {_some(sorted(known - wanted))}')
    return '; '.join(parts)


def _changed(statistics: ClassStatistics, labels: LabelMaps) -> list[str]:
    """Label maps that are missing or of another size than when they were counted."""
    sizes = labels.file_sizes
    if sizes is None or statistics.file_sizes is None:
        return []
    return [statistics.keys[row] for row in np.flatnonzero(sizes != statistics.file_sizes)]


def _some(names) -> str:
    return ', '.join(names[:3]) + (', …' if len(names) > 3 else '')
