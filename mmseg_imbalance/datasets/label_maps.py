"""Lists of a data set's label maps, with the settings that the data set reads them with."""

import copy
import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import numpy as np
import torch
from mmengine.dataset import ConcatDataset, RepeatDataset
from mmseg.datasets import BaseSegDataset, MultiImageMixDataset

from ..utils.class_names import class_names
from ..utils.logs import warn_once
from .label_check import CheckedFiles, check_label_map, loads_annotations, warn_of_left_out
from .wrappers import inside

FINGERPRINT_VERSION = 1
_KNOWN = ('mmcv', 'mmseg', 'mmseg_imbalance')  # packages whose transforms keep the ids

_LATER = (
    'comes after the label maps are loaded. If it changes the ids of classes, class statistics and '
    'sampling by class are wrong: they are about the ids as loaded. Then change them with the '
    'label_map of the data set instead'
)
_SECOND = (
    'is not the first transform of its pipeline that loads annotations. Class statistics and '
    'sampling by class follow the first one that makes gt_seg_map'
)
_INFO = ('seg_map_path', 'img_path', 'label_map', 'reduce_zero_label')


@dataclass(frozen=True)
class LabelMap:
    """One label map and everything that its data set needs to read it.

    Args:
        path (str): Absolute path of the file, or an address with ``://``.
        info (dict): What the data set passes to its pipeline, with ``seg_map_path``, ``img_path``,
            ``label_map`` and ``reduce_zero_label``.
        ignore_index (int): The data set's ignored label.
        loaders (tuple): The transforms of its pipeline that load annotations.
        settings (tuple[str, ...]): Those of each loader.
    """

    path: str
    info: dict
    ignore_index: int
    loaders: tuple
    settings: tuple[str, ...]

    @property
    def reading(self) -> str:
        """The settings that determine the class of a pixel, as JSON."""
        by_loader = zip(self.loaders, self.settings, strict=True)
        return json.dumps(
            [
                sorted((self.info['label_map'] or {}).items()),
                bool(self.info['reduce_zero_label']),
                self.ignore_index,
                [type(loader).__name__ for loader in self.loaders],
                *(settings for loader, settings in by_loader if _is_own(loader)),
            ]
        )

    def read(self) -> np.ndarray:
        """Loads the label map (H, W) as in training, before any augmentation.

        Raises:
            BadFileError: If a loader would not read the stored ids, see ``check_label_map``.
            ValueError: If the loaders do not produce ``gt_seg_map``.
        """
        results = dict(copy.deepcopy(self.info), seg_fields=[])
        for loader in self.loaders:
            check_label_map(self.info, loader)
            results = copy.copy(loader)(results)  # LoadAnnotations modifies itself
            if 'gt_seg_map' in results:
                return results['gt_seg_map']
        raise ValueError(f'{_names(self.loaders)} load no gt_seg_map')


@dataclass(frozen=True, eq=False)
class LabelMaps:
    """The label maps of a data set, each listed once.

    Args:
        classes (tuple[str, ...]): The data set's classes.
        root (str): Folder or address above all label maps: the data root, or the common part of
            several data roots.
        maps (dict): The :class:`LabelMap` of each key. The keys are sorted paths relative to
            ``root`` with ``/`` as separator.
        rows (np.ndarray): Position in ``maps`` of the label map of each data set index, int64
            (length of the data set,).
    """

    classes: tuple[str, ...]
    root: str
    maps: dict[str, LabelMap]
    rows: np.ndarray

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the classes, the keys and the reading settings, in hexadecimal digits.

        Order, repetition and the location of the data root do not change it.
        """
        keys = defaultdict(list)
        for key, label in self.maps.items():
            keys[label.reading].append(key)
        content = [FINGERPRINT_VERSION, self.classes, sorted(keys.items())]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    @property
    def repetitions(self) -> np.ndarray:
        """How often the data set has each label map, int64 (n,)."""
        return np.bincount(self.rows, minlength=len(self.maps))

    @property
    def file_sizes(self) -> np.ndarray | None:
        """Size of each label map in bytes, in the order of the keys, int64 (n,); -1 if missing.

        It is None if one of them is at an address, or none is on the local disk, as behind a file
        backend: sizes cannot be looked up quickly there.
        """
        paths = [label.path for label in self.maps.values()]
        if any('://' in path for path in paths):
            return None
        sizes = np.array([_file_size(path) for path in paths], np.int64)
        return None if (sizes < 0).all() else sizes


def find_label_maps(dataset) -> LabelMaps:
    """Lists the label maps of a plain or wrapped data set.

    Args:
        dataset: A ``BaseSegDataset``, or a ``ConcatDataset``, ``RepeatDataset`` or
            ``MultiImageMixDataset`` of such data sets, nested or not. :class:`LabelMaps` are
            returned unchanged, so every function that takes a data set also takes these.

    Raises:
        TypeError: If there is a data set of another type; names the type.
        ValueError: If a data set has no label maps or does not load them, or if two data sets read
            the same file differently.

    Note:
        Transforms after loading, such as mosaics, are not considered; a warning names those that
        are not MMSegmentation's, once.
    """
    if isinstance(dataset, LabelMaps):
        return dataset
    found: list[LabelMap] = []
    roots: list[str] = []
    positions = _collect(dataset, found, roots)
    classes = class_names(dataset.metainfo, type(dataset).__name__)
    root = _common_folder(roots)
    by_key: dict[str, LabelMap] = {}
    for label in found:
        key = label.path[len(root) + 1 :]
        known = by_key.setdefault(key, label)
        if known is label:  # the first time
            continue
        if known.reading != label.reading or known.settings != label.settings:
            raise ValueError(
                f'{label.path} is in the data set more than once, with different label_map, '
                'reduce_zero_label, ignore_index or annotation loading; give all its data sets '
                'the same'
            )
    keys = sorted(by_key)
    row_of = {key: row for row, key in enumerate(keys)}
    rows = np.array([row_of[label.path[len(root) + 1 :]] for label in found], np.int64)
    return LabelMaps(
        classes=classes,
        root=root,
        maps={key: by_key[key] for key in keys},
        rows=rows[positions],
    )


def _collect(dataset, found: list[LabelMap], roots: list[str]) -> np.ndarray:
    """Appends a data set's label maps and roots; returns the position in ``found`` per index."""
    if isinstance(dataset, ConcatDataset):
        return np.concatenate([_collect(part, found, roots) for part in dataset.datasets])
    if isinstance(dataset, RepeatDataset):
        return np.tile(_collect(dataset.dataset, found, roots), dataset.times)
    if isinstance(dataset, MultiImageMixDataset):
        for transform in filter(_is_own, inside(dataset.pipeline)):
            warn_once(f'{type(transform).__name__} {_LATER}')
        return _collect(dataset.dataset, found, roots)
    if '_dataset' in getattr(dataset, '__dict__', {}):  # of MMEngine's `num_batch_per_epoch`
        return _collect(dataset._dataset, found, roots)[: len(dataset)]
    if not isinstance(dataset, BaseSegDataset):
        raise TypeError(
            f'cannot list the label maps of {type(dataset).__name__}; supported are '
            'BaseSegDataset, and ConcatDataset, RepeatDataset and MultiImageMixDataset of it'
        )
    labels = _label_maps_of(dataset)
    start = len(found)
    found.extend(labels)
    roots.append(_root(dataset.data_root, [label.path for label in labels]))
    return np.arange(start, len(found))


def _label_maps_of(dataset: BaseSegDataset) -> list[LabelMap]:
    transforms = dataset.pipeline.transforms
    loaders = tuple(filter(loads_annotations, transforms))
    if not loaders:
        raise ValueError(
            f'the pipeline of {type(dataset).__name__} loads no annotations; it has '
            f'{_names(transforms) or "no transforms"}, and needs one like LoadAnnotations'
        )
    for transform in filter(_is_own, inside(transforms[transforms.index(loaders[-1]) + 1 :])):
        warn_once(f'{type(transform).__name__} {_LATER}')
    for loader in filter(_is_own, loaders[1:]):
        warn_once(f'{type(loader).__name__} {_SECOND}')
    samples = [dataset.get_data_info(index) for index in range(len(dataset))]
    if not isinstance(dataset, CheckedFiles):  # which warn by themselves
        warn_of_left_out(dataset, samples)
    labels, settings = [], tuple(map(_settings, loaders))
    for info in samples:
        if 'seg_map_path' not in info:
            raise ValueError(
                f'{type(dataset).__name__} has no label maps; set seg_map_path of its data_prefix'
            )
        info = {**dict.fromkeys(_INFO), **info}
        path = _absolute(info['seg_map_path'])
        labels.append(LabelMap(path, info, dataset.ignore_index, loaders, settings))
    if not labels:
        raise ValueError(
            f'{type(dataset).__name__} is empty: no image found for data_root '
            f'{dataset.data_root!r} and data_prefix {dataset.data_prefix!r}'
        )
    return labels


def _root(data_root: str | None, paths: Sequence[str]) -> str:
    """Returns the data root if all paths lie below it, else their common folder."""
    root = _absolute(data_root) if data_root else ''
    if root and all(path.startswith(f'{root}/') for path in paths):
        return root
    return _common_folder(path.rpartition('/')[0] for path in paths)


def _absolute(path: str) -> str:
    """Makes a path absolute, with ``/`` as separator, but keeps addresses such as ``s3://…``."""
    path = os.fspath(path)
    return path.rstrip('/') if '://' in path else Path(os.path.abspath(path)).as_posix()


def _file_size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:  # the code that reads the file will report the error
        return -1


def _common_folder(folders: Iterable[str]) -> str:
    levels = zip(*(folder.split('/') for folder in folders), strict=False)
    return '/'.join(level[0] for level in takewhile(lambda level: len(set(level)) == 1, levels))


def _settings(loader) -> str:
    """Writes down the settings of a loader, as far as this can be done."""
    settings = {key: _written(value) for key, value in vars(loader).items()}
    # The loader sets reduce_zero_label at the first label it reads, from LabelMap.info.
    settings.pop('reduce_zero_label', None)
    return repr({key: value for key, value in settings.items() if ' at 0x' not in repr(value)})


def _written(value: object) -> object:
    """Returns a value whose ``repr`` is complete: that of a large array leaves out numbers."""
    if isinstance(value, dict):
        return {key: _written(inner) for key, inner in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_written, value))
    if not isinstance(value, np.ndarray | torch.Tensor):
        return value
    content = hashlib.sha256(repr(value.tolist()).encode())
    return str(value.dtype), tuple(value.shape), content.hexdigest()


def _is_own(transform) -> bool:
    """Whether a transform is not from a package whose transforms keep the ids."""
    return type(transform).__module__.partition('.')[0] not in _KNOWN


def _names(transforms: Iterable) -> str:
    return ', '.join(type(transform).__name__ for transform in transforms)
