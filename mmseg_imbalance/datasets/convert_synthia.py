"""Conversion of SYNTHIA's 16-bit labels to 8 bits, and its train, val and test lists."""

import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np

from ..utils.errors import BadFileError, ToolError
from ..utils.files import write_atomically
from .conversion import Outcome, Pair, convert_pair, of_suffix, read_label, run

# Cityscapes train id of each raw id of SYNTHIA-RAND-CITYSCAPES, in the order of the raw ids from
# void (0) to lane marking (22). Parking slot (13) and road work (14) have no counterpart.
_RAND_TRAIN_IDS = (
    255, 10, 2, 0, 1, 4, 8, 5, 13, 7, 11, 18, 17, 255, 255, 6, 9, 12, 14, 15, 16, 3, 255,
)  # fmt: skip
RAND_TABLE = dict(enumerate(_RAND_TRAIN_IDS))

# Class index of each raw id of SYNTHIA-SEQS: sky (1) to lane marking (12), then traffic light
# (15), last void (0). The raw ids 13 and 14 are reserved and never occur.
SEQS_TABLE = {0: 13, **{raw: raw - 1 for raw in range(1, 13)}, 15: 12}

Splits = dict[str, list[str]]


def read_class_ids(path: Path) -> np.ndarray:
    """Reads the class ids (H, W), uint16, of a raw SYNTHIA label.

    Class ids are in the file's first channel (R), which OpenCV puts last. G holds instance ids.

    Raises:
        BadFileError: If the file is damaged, not 16-bit or does not have three channels.
    """
    label = read_label(path)
    if label.dtype != np.uint16 or label.ndim != 3 or label.shape[2] != 3:
        depth = 8 * label.dtype.itemsize
        channels = label.shape[2] if label.ndim == 3 else 1
        raise BadFileError(
            f'{path}: {depth}-bit with {channels} channel(s), but a raw SYNTHIA label is 16-bit '
            'with 3; take it from GT/LABELS, as downloaded'
        )
    return label[:, :, 2]


def convert_rand(
    source: Path, destination: Path, nproc: int, link: bool, val_ratio: float, seed: int
) -> tuple[list[Outcome], dict[str, int]]:
    """Converts SYNTHIA-RAND-CITYSCAPES and writes splits/{train,val}.txt.

    Args:
        source (Path): The folder ``RAND_CITYSCAPES``, or its parent folder.
        destination (Path): Folder to write.
        nproc (int): Number of worker processes.
        link (bool): Whether to hard-link the images instead of copying them.
        val_ratio (float): Share of the validation images, in (0, 1).
        seed (int): Seed of the split.

    Returns:
        tuple: One ``Outcome`` per image, and the number of images in each list.

    Raises:
        ToolError: If ``source`` does not contain the data set.
    """
    nested = source / 'RAND_CITYSCAPES'
    root = nested if nested.is_dir() else source
    pairs = _pairs_below(root, destination, Path())
    if not pairs:
        raise ToolError(f'{root} holds no GT/LABELS/*.png')
    split = partial(split_images, val_ratio=val_ratio, seed=seed)
    return _convert(pairs, RAND_TABLE, destination, nproc, link, {'': split})


def convert_seqs(
    source: Path, destination: Path, nproc: int, link: bool, seed: int
) -> tuple[list[Outcome], dict[str, int]]:
    """Converts SYNTHIA-SEQS and writes splits/{block,random}/{train,val,test}.txt.

    Args:
        source (Path): A ``SYNTHIA-SEQS-xx-SEASON`` folder, or a folder of several.
        destination (Path): Folder to write; sequences of an earlier run stay in the lists.
        nproc (int): Number of worker processes.
        link (bool): Whether to hard-link the images instead of copying them.
        seed (int): Seed of the random split.

    Returns:
        tuple: One ``Outcome`` per image, and the number of images in each list.

    Raises:
        ToolError: If ``source`` does not contain the data set.
    """
    sequences = sorted(path for path in source.glob('SYNTHIA-SEQS-*') if path.is_dir())
    if (source / 'GT' / 'LABELS').is_dir():
        sequences = [source.resolve()]
    pairs = [p for path in sequences for p in _pairs_below(path, destination, Path(path.name))]
    if not pairs:
        raise ToolError(
            f'{source} is not a SYNTHIA-SEQS folder and contains none: no GT/LABELS/**/*.png'
        )
    splits = {'block/': split_blocks, 'random/': partial(split_frames, seed=seed)}
    return _convert(pairs, SEQS_TABLE, destination, nproc, link, splits)


def _pairs_below(root: Path, destination: Path, prefix: Path) -> list[Pair]:
    """Lists all frames in RGB/ or GT/LABELS/ below ``root``; ``prefix`` starts their keys."""
    images, labels = root / 'RGB', root / 'GT' / 'LABELS'
    if not labels.is_dir():
        return []
    paths = {
        path.relative_to(folder)
        for folder in (images, labels)
        for path in of_suffix(folder.rglob('*'), '.png')
    }
    return [
        Pair((prefix / path).with_suffix('').as_posix(), images / path, labels / path, destination)
        for path in sorted(paths)
    ]


def _convert(
    pairs: list[Pair],
    table: dict[int, int],
    destination: Path,
    nproc: int,
    link: bool,
    splits: dict[str, Callable[[Iterable[str]], Splits]],
) -> tuple[list[Outcome], dict[str, int]]:
    convert = partial(convert_pair, class_ids=read_class_ids, table=table, link=link)
    outcomes = run(convert, pairs, nproc, 'converting')
    labels = destination / 'labels'
    done = {p.relative_to(labels).with_suffix('').as_posix() for p in labels.rglob('*.png')}
    failed = {outcome.key for outcome in outcomes if outcome.status == 'failed'}
    sizes = {}
    for name, split in splits.items():
        # Failed frames take part in the split, so that repairing one does not move the others.
        for part, keys in split(done | failed).items():
            listed = [key for key in keys if key in done - failed]
            text = ''.join(f'{key}\n' for key in listed)
            write_atomically(destination / 'splits' / f'{name}{part}.txt', text.encode())
            sizes[f'{name}{part}'] = len(listed)
    return outcomes, sizes


def split_images(keys: Iterable[str], val_ratio: float, seed: int) -> Splits:
    """Splits images at random into training and validation.

    Args:
        keys (Iterable[str]): Keys of all images.
        val_ratio (float): Share of the validation images; their number is rounded.
        seed (int): Seed of the split.

    Returns:
        dict: Sorted keys of ``'train'`` and ``'val'``.
    """
    keys = sorted(keys)
    order = np.random.default_rng(seed).permutation(len(keys))
    val = set(order[: round(val_ratio * len(keys))].tolist())
    return {
        'train': [key for i, key in enumerate(keys) if i not in val],
        'val': [key for i, key in enumerate(keys) if i in val],
    }


def _bounds(count: int) -> tuple[int, int]:
    """Returns the ends of the first 70 % and the next 10 % of ``count`` frames, rounded down."""
    train = count * 7 // 10
    return train, train + count // 10


def split_frames(keys: Iterable[str], seed: int) -> Splits:
    """Splits each view's frames at random, 70/10/20 %, like the recall loss paper's code.

    Neighbouring frames are nearly alike, so training frames nearly give away the labels of the
    test frames. A view's split depends only on its frames and the seed, not on other views.

    Args:
        keys (Iterable[str]): ``<sequence>/<stereo>/<omni>/<frame>`` of all frames.
        seed (int): Seed of the split.

    Returns:
        dict: Sorted keys of ``'train'``, ``'val'`` and ``'test'``.
    """
    views = defaultdict(list)
    for key in sorted(keys):
        views[key.rpartition('/')[0]].append(key)
    parts: Splits = {'train': [], 'val': [], 'test': []}
    for view, frames in views.items():
        rng = np.random.default_rng([seed, zlib.crc32(view.encode())])
        drawn = [frames[i] for i in rng.permutation(len(frames))]
        train, val = _bounds(len(frames))
        parts['train'] += drawn[:train]
        parts['val'] += drawn[train:val]
        parts['test'] += drawn[val:]
    return {part: sorted(frames) for part, frames in parts.items()}


def split_blocks(keys: Iterable[str]) -> Splits:
    """Splits each sequence in time: the first 70 % train, the next 10 % val, the rest test.

    All views of a sequence are cut at the same frames, since they see the same moment from
    different sides. Only the frames at the two cuts have a neighbour in another part.

    Args:
        keys (Iterable[str]): ``<sequence>/<stereo>/<omni>/<frame>`` of all frames.

    Returns:
        dict: Sorted keys of ``'train'``, ``'val'`` and ``'test'``.
    """
    sequences = defaultdict(list)
    for key in sorted(keys):
        sequences[key.partition('/')[0]].append(key)
    parts: Splits = {'train': [], 'val': [], 'test': []}
    for members in sequences.values():
        moments = sorted({key.rpartition('/')[2] for key in members})
        train, val = _bounds(len(moments))
        part_of = {
            moment: 'train' if i < train else 'val' if i < val else 'test'
            for i, moment in enumerate(moments)
        }
        for key in members:
            parts[part_of[key.rpartition('/')[2]]].append(key)
    return parts
