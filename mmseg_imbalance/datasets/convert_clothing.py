"""Conversion of Clothing Co-Parsing from its repository."""

import hashlib
from collections.abc import Collection
from functools import partial
from pathlib import Path

import numpy as np
from scipy.io import loadmat

from ..utils.command_line import first_line
from ..utils.errors import BadFileError, ToolError
from ..utils.files import write_atomically
from .clothing import ClothingDataset
from .conversion import IGNORED, Outcome, Pair, convert_pair, of_suffix, run

BACKGROUND = 'null'
PHOTOGRAPHS, VALIDATION, HELD_OUT = 1004, 200, 100


def convert_clothing(
    source: Path, destination: Path, nproc: int
) -> tuple[list[Outcome], dict[str, int]]:
    """Converts the label maps, copies the photographs and writes the splits.

    Args:
        source (Path): Clone of ``bearpaw/clothing-co-parsing``.
        destination (Path): Folder to write.
        nproc (int): Number of worker processes.

    Returns:
        tuple: One ``Outcome`` per photograph, and the number of photographs in each list; without
        lists if a photograph failed.

    Raises:
        ToolError: If ``source`` does not contain the data set.
        BadFileError: If its list of labels is damaged.
    """
    pairs = find_pairs(source, destination)
    convert = partial(convert_pair, class_ids=read_class_ids, table=read_table(source))
    outcomes = run(convert, pairs, nproc, 'converting')
    if any(outcome.status == 'failed' for outcome in outcomes):
        return outcomes, {}  # no list of photographs that are not there
    lists = split([pair.key for pair in pairs])
    for name, keys in lists.items():
        text = ''.join(f'{key}\n' for key in keys)
        write_atomically(destination / 'splits' / f'{name}.txt', text.encode())
    return outcomes, {name: len(keys) for name, keys in lists.items()}


def find_pairs(source: Path, destination: Path) -> list[Pair]:
    """Lists all photographs that have pixel labels, and all label maps."""
    photos, labels = source / 'photos', source / 'annotations' / 'pixel-level'
    names = sorted(path.stem for path in of_suffix(labels.glob('*'), '.mat'))
    if not names:
        raise ToolError(f'{source} holds no annotations/pixel-level/*.mat')
    return [Pair(n, photos / f'{n}.jpg', labels / f'{n}.mat', destination) for n in names]


def read_table(source: Path) -> dict[int, int]:
    """Reads the names of the source's labels; returns the class of each, 255 for rarer ones."""
    path = source / 'label_list.mat'
    names = [str(cell.item()) for cell in _load(path, 'label_list').ravel()]
    classes = ClothingDataset.METAINFO['classes']
    index = {BACKGROUND: 0, **{name: c for c, name in enumerate(classes) if c > 0}}
    missing = index.keys() - set(names)
    if missing:
        raise BadFileError(f'{path} lacks the labels {", ".join(sorted(missing))}')
    return {i: index.get(name, IGNORED) for i, name in enumerate(names)}


def read_class_ids(path: Path) -> np.ndarray:
    """Reads a label map (H, W) of the source, uint8.

    Raises:
        BadFileError: If the file is damaged or of another kind.
    """
    ids = _load(path, 'groundtruth')
    if ids.ndim != 2 or ids.dtype != np.uint8:
        raise BadFileError(f'{path}: {ids.dtype} array of shape {ids.shape}, expected uint8 (H, W)')
    return ids


def _load(path: Path, name: str) -> np.ndarray:
    try:
        with path.open('rb') as file:
            return loadmat(file)[name]
    except Exception as error:  # SciPy raises almost anything on damaged files
        reason = getattr(error, 'strerror', None) or first_line(error)
        reason = f'no variable {name}' if isinstance(error, KeyError) else reason
        raise BadFileError(f'{path}: not a complete MATLAB file ({reason})') from error


def split(keys: Collection[str]) -> dict[str, list[str]]:
    """Splits photographs by a hash of their number, the same whichever of them are there.

    Returns:
        dict: ``'train'`` and ``'val'``, and of ``'train'`` again ``'kept'`` and ``'held_out'``, to
        tune on.
    """
    numbers = (f'{number:04d}' for number in range(1, PHOTOGRAPHS + 1))
    by_hash = sorted(numbers, key=lambda key: hashlib.sha256(key.encode()).hexdigest())
    parts = np.split(by_hash, [VALIDATION, VALIDATION + HELD_OUT])
    val, held_out, kept = (sorted(set(part.tolist()).intersection(keys)) for part in parts)
    return dict(train=sorted(kept + held_out), val=val, kept=kept, held_out=held_out)
