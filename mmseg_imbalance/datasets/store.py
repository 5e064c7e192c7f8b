"""Class statistics that are counted once and kept in a file."""

from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.logging import print_log
from mmseg.registry import DATASETS

from ..statistics.class_statistics import ClassStatistics
from ..utils.errors import FileError
from ..utils.files import check_writable
from ..utils.run_config import check_data
from ..utils.training_loop import samplers_of
from .count import count_listed_label_maps
from .label_maps import LabelMaps, find_label_maps

_COUNT_ANEW = (
    'count anew with tools/analysis_tools/class_statistics.py --force, or name another file '
    'with the argument statistics (--out of the tool)'
)


class StaleStatisticsError(FileError):
    """Raised if statistics do not match the label maps; says which ones and what to do."""


def class_statistics(
    dataset,
    path: str | Path | ClassStatistics | None = None,
    nproc: int | None = None,
    alone: bool = False,
) -> ClassStatistics:
    """Loads a data set's class statistics; if the file is missing, counts and saves them.

    In a distributed run, every process must call this function, unless ``alone`` is set. Rank 0
    loads or counts and sends the result to the others. They wait no longer than the process group's
    timeout (by default 10 minutes with NCCL), so it is best to count large data sets beforehand.

    Args:
        dataset: As in :func:`find_label_maps`. If it repeats images, the statistics count their
            repetitions as ``draws``; the file does not.
        path: The file; None means :func:`default_path`. Or statistics that were loaded already,
            which are only checked.
        nproc: Number of worker processes that count, one per CPU core if None.
        alone: Whether only this process needs them, which then loads or counts by itself.

    Raises:
        StaleStatisticsError: If the file was made from other label maps or with other settings, or
            if a label map's size in bytes has changed since it was counted.
        BadLabelsError: If label maps are missing, damaged or hold other labels.
        ValueError: If the file is damaged.
        FileError: If the file cannot be written.
        ToolError: If a worker process dies.
        RuntimeError: If rank 0 has failed; the error of rank 0 says why.
    """
    labels = find_label_maps(dataset)
    if isinstance(path, ClassStatistics):
        return _checked(path, labels, 'the given class statistics').drawn(labels.repetitions)
    path = Path(path or default_path(labels))
    get = load_or_count if alone else _on_all_ranks
    return get(labels, path, nproc).drawn(labels.repetitions)


def _on_all_ranks(labels: LabelMaps, path: Path, nproc: int | None) -> ClassStatistics:
    outcome: list = [None]
    if is_main_process():
        try:
            outcome = [load_or_count(labels, path, nproc)]
        except Exception as error:  # without this the other ranks would wait for ever
            broadcast_object_list([f'{type(error).__name__}: {error}'])
            raise
    broadcast_object_list(outcome)
    if isinstance(outcome[0], str):
        raise RuntimeError(f'no class statistics from the main process: {outcome[0]}')
    return outcome[0]


def training_statistics(cfg: Config, dataset=None) -> ClassStatistics:
    """Returns the class statistics of a config's training set, as its training would count them.

    They are those of the files: what a sampler by class adds in training is not in them. The file
    is the one that the hook or the sampler of the config names.

    Args:
        cfg: The config.
        dataset: Its training set, if that is built already.

    Raises:
        RunConfigError: If the training data are missing.
        ValueError: As :func:`class_statistics` does.
    """
    check_data(cfg, 'train')
    if dataset is None:
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
    return class_statistics(dataset, *named_counting(cfg))


def named_counting(cfg: Config) -> tuple[str | None, int | None]:
    """Returns the file of class statistics and the workers that a config names."""
    hooks = cfg.get('custom_hooks') or []
    hook = next((hook for hook in hooks if 'ClassStatisticsHook' in str(hook['type'])), {})
    sampler = (cfg.get('train_dataloader') or {}).get('sampler') or {}
    return hook.get('statistics') or sampler.get('statistics'), hook.get('nproc')


def drawn_statistics(loader, path: str | None = None, nproc: int | None = None) -> ClassStatistics:
    """Returns the statistics of a loader's data set as its sampler by class is expected to draw it.

    Args:
        loader: Data loader of a training.
        path: As in :func:`class_statistics`.
        nproc: As in :func:`class_statistics`.

    Raises:
        ValueError: As :func:`class_statistics` does.
    """
    labels = find_label_maps(loader.dataset)  # once, since large data sets take a while
    statistics = class_statistics(labels, path, nproc)
    sampler = sampler_by_class(loader)
    if sampler is None:
        return statistics
    rows = label_rows(labels, statistics)
    return statistics.drawn(np.bincount(rows, sampler.expected_draws(), len(statistics.keys)))


def sampler_by_class(loader):
    """Returns the sampler of a data loader that knows how often it draws an image, or None."""
    return next((s for s in samplers_of(loader) if hasattr(s, 'expected_draws')), None)


def label_rows(dataset, statistics: ClassStatistics) -> np.ndarray:
    """Returns, for each index of a data set, its label map's row in the statistics.

    Args:
        dataset: The data set that was counted, which may now be wrapped differently.
        statistics: The statistics of the data set.

    Returns:
        np.ndarray: Rows, int64 (len(dataset),).

    Raises:
        StaleStatisticsError: If a label map is not in the statistics; names the label map.
    """
    labels = find_label_maps(dataset)
    row_of = {key: row for row, key in enumerate(statistics.keys)}
    for key in labels.maps:
        if key not in row_of:
            raise StaleStatisticsError(f'{key} is not in the class statistics; {_COUNT_ANEW}')
    return np.array([row_of[key] for key in labels.maps], np.int64)[labels.rows]


def default_path(labels: LabelMaps) -> Path:
    """Returns the path ``<data root>/class_statistics/<start of fingerprint>.npz``.

    Raises:
        FileError: If the data root is an address, or if the data roots have no common folder.
    """
    if '://' in labels.root or not labels.root:
        raise FileError(
            f'class statistics cannot be kept below {labels.root or "/"}, which the label maps '
            'share; name a file with the argument statistics '
            '(--out of tools/analysis_tools/class_statistics.py)'
        )
    return Path(labels.root) / 'class_statistics' / f'{labels.fingerprint[:12]}.npz'


def load_or_count(labels: LabelMaps, path: Path, nproc: int | None = None) -> ClassStatistics:
    """Loads or counts the statistics of label maps in one process, each label map once."""
    if not path.exists():
        return count_and_save(labels, path, nproc)
    return _checked(ClassStatistics.load(path), labels, str(path))


def count_and_save(labels: LabelMaps, path: Path, nproc: int | None = None) -> ClassStatistics:
    """Counts label maps and writes the statistics, replacing an older file.

    Raises:
        BadLabelsError: If label maps are missing, damaged or hold other labels.
        FileError: If the file cannot be written; raised before the counting starts.
    """
    _check_writable(path)
    print_log(f'Counting the classes of {len(labels.maps)} label maps, once, for {path}', 'current')
    statistics = count_listed_label_maps(labels, nproc)
    statistics.save(path)
    return statistics


def _check_writable(path: Path) -> None:
    try:
        check_writable(path)
    except FileError as error:
        raise FileError(
            f'{error}; name another file with the argument statistics '
            '(--out of tools/analysis_tools/class_statistics.py)'
        ) from error


def _checked(statistics: ClassStatistics, labels: LabelMaps, name: str) -> ClassStatistics:
    """Returns statistics if they are those of the label maps."""
    if statistics.fingerprint != labels.fingerprint:
        raise StaleStatisticsError(f'{name}: {difference(statistics, labels)}; {_COUNT_ANEW}')
    changed = _changed(statistics, labels)
    if changed:
        raise StaleStatisticsError(
            f'{name}: {len(changed)} of {len(statistics.keys)} label maps have changed since they '
            f'were counted: {_some(changed)}; {_COUNT_ANEW}'
        )
    return statistics


def difference(statistics: ClassStatistics, labels: LabelMaps) -> str:
    """Says from which other label maps statistics were counted."""
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
    """Lists the label maps that are missing or whose size has changed since they were counted."""
    sizes = labels.file_sizes
    if sizes is None or statistics.file_sizes is None:
        return []
    return [statistics.keys[row] for row in np.flatnonzero(sizes != statistics.file_sizes)]


def _some(names) -> str:
    return ', '.join(names[:3]) + (', …' if len(names) > 3 else '')
