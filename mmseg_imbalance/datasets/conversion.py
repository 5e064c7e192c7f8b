"""Common code of the data-set converters: checked reading, resuming, error handling, a report.

A converter is a function that turns one job into one ``Outcome``. ``run`` calls it in worker
processes, and ``report`` sums the outcomes up. A conversion can be stopped at any moment and run
again: a file gets its final name only when it is complete, and complete files are kept.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path

import cv2
import mmcv
import numpy as np
from PIL import Image, UnidentifiedImageError

from ..utils.command_line import add_nproc, first_line, one_line
from ..utils.errors import BadFileError, ToolError
from ..utils.files import place, write_atomically
from ..utils.images import encode_png
from ..utils.label_values import count_pixels
from ..utils.workers import run_in_workers

IGNORED = 255


@dataclass(frozen=True)
class Pair:
    """The paths of an image and of its label, and where their converted copies go.

    Args:
        key (str): Path of the label relative to the label folder, without suffix. A base name
            would not be unique: data sets repeat it in different folders.
        image (Path): Source image.
        label (Path): Source label.
        destination (Path): Folder of the converted data set.
    """

    key: str
    image: Path
    label: Path
    destination: Path

    @property
    def image_out(self) -> Path:
        """Image of the converted data set."""
        return self.destination / 'images' / f'{self.key}{self.image.suffix}'

    @property
    def label_out(self) -> Path:
        """Label of the converted data set."""
        return self.destination / 'labels' / f'{self.key}.png'


@dataclass(frozen=True)
class Outcome:
    """The result of one job.

    Args:
        key (str): The image's name in the report.
        status (str): ``'written'``, ``'kept'`` (the files existed already) or ``'failed'``.
        counts (np.ndarray, optional): Pixels of each label value, int64 (256,); None if failed.
        reason (str): Why the job failed.
    """

    key: str
    status: str
    counts: np.ndarray | None = None
    reason: str = ''


def of_suffix(paths: Iterable[Path], suffix: str) -> list[Path]:
    """Selects the files with a suffix in small letters.

    Raises:
        ToolError: If there are files with the same suffix in capitals; names one of them.
    """
    found = [path for path in paths if path.suffix.lower() == suffix]
    capital = [path for path in found if path.suffix != suffix]
    if capital:
        raise ToolError(
            f'{capital[0]}: the suffix has to be {suffix}, in small letters; rename it '
            f'({len(capital)} such in all)'
        )
    return found


def read_complete(path: Path) -> tuple[bytes, tuple[int, int]]:
    """Reads an image file and checks that it is complete.

    OpenCV cannot do this: of a truncated PNG it returns the part that it could decode. Pillow's
    ``load`` finds missing pixels, and its ``verify`` finds damaged or missing chunks after them.

    Returns:
        tuple: The file's bytes, and the image's (width, height).

    Raises:
        BadFileError: If the file is missing, truncated, damaged or not an image.
    """
    try:
        data = path.read_bytes()
        with Image.open(BytesIO(data)) as image:
            image.load()
            size = image.size
        with Image.open(BytesIO(data)) as image:
            image.verify()
    except Exception as error:  # Pillow's decoders raise almost anything on damaged files
        reason = getattr(error, 'strerror', None) or first_line(error)
        if isinstance(error, UnidentifiedImageError):
            reason = 'no known format' if data else 'it is empty'
        raise BadFileError(f'{path}: not a complete image file ({reason})') from error
    return data, size


def read_label(path: Path) -> np.ndarray:
    """Reads a label as stored: uint8 or uint16, (H, W) or (H, W, channels in BGR order).

    Raises:
        BadFileError: If the file is missing, truncated, damaged or not an image.
    """
    data, _ = read_complete(path)
    return decode(data, path, partial(mmcv.imfrombytes, flag='unchanged', backend='cv2'))


def decode(data: bytes, path: Path, decoder: Callable[[bytes], np.ndarray | None]) -> np.ndarray:
    """Decodes an image with OpenCV, whose formats and limits differ from Pillow's.

    Args:
        data: The file's bytes.
        path: The file's name, for the error message.
        decoder: Turns the bytes into an array, or returns None.

    Raises:
        BadFileError: If OpenCV cannot decode the image.
    """
    try:
        image = decoder(data)
    except cv2.error as error:
        raise BadFileError(f'{path}: OpenCV cannot decode it ({one_line(str(error))})') from error
    if image is None:
        raise BadFileError(f'{path}: OpenCV cannot decode it')
    return image


def map_ids(ids: np.ndarray, table: dict[int, int]) -> np.ndarray:
    """Replaces every id by its entry in ``table``.

    Args:
        ids (np.ndarray): Class ids (H, W), uint8 or uint16.
        table (dict): Label value, 0 to 255, of each known id.

    Returns:
        np.ndarray: Label (H, W), uint8.

    Raises:
        BadFileError: If an id is not in ``table``; the message says which id, and where.

    Example:
        >>> map_ids(np.array([[0, 15]], np.uint16), {0: 255, 15: 12})
        array([[255,  12]], dtype=uint8)
    """
    lookup = np.full(np.iinfo(np.uint16).max + 1, -1, np.int16)
    lookup[list(table)] = list(table.values())
    label = lookup[ids]
    unknown = np.argwhere(label < 0)
    if len(unknown):
        row, column = unknown[0]
        raise BadFileError(
            f'unknown class id {ids[row, column]} at row {row}, column {column} '
            f'({len(unknown)} such pixels; known are {", ".join(map(str, sorted(table)))})'
        )
    return label.astype(np.uint8)


def convert_pair(
    pair: Pair, class_ids: Callable[[Path], np.ndarray], table: dict[int, int], link: bool = False
) -> Outcome:
    """Converts one label and copies its image byte for byte.

    Args:
        pair (Pair): Paths of the image, of the label and of their copies.
        class_ids (callable): Reads a label file and returns its class ids (H, W).
        table (dict): Label value of each known id.
        link (bool): Whether to hard-link the image instead of copying it.

    Raises:
        BadFileError: If a file is missing or damaged, the sizes differ or an id is unknown.
    """
    for name, path in (('image', pair.image), ('label', pair.label)):
        if not path.is_file():
            raise BadFileError(f'its {name} {path} is missing')
    counts = _counts_if_done(pair, set(table.values()))
    if counts is not None:
        return Outcome(pair.key, 'kept', counts)
    data, size = read_complete(pair.image)
    ids = class_ids(pair.label)
    if ids.shape != size[::-1]:
        raise BadFileError(
            f'{pair.label}: {ids.shape[1]}x{ids.shape[0]} pixels, '
            f'but its image has {size[0]}x{size[1]}'
        )
    try:
        label = map_ids(ids, table)
    except BadFileError as error:
        raise BadFileError(f'{pair.label}: {error}') from None
    if not link:
        write_atomically(pair.image_out, data)
    elif not _same_file(pair.image, pair.image_out):
        place(pair.image_out, lambda temporary: os.link(pair.image, temporary))
    write_atomically(pair.label_out, encode_png(label))  # last: it marks the pair as complete
    return Outcome(pair.key, 'written', count_pixels(label))


def _counts_if_done(pair: Pair, values: set[int]) -> np.ndarray | None:
    """Returns the label's pixel counts if both outputs are complete and up to date, else None."""
    if not (pair.image_out.is_file() and pair.label_out.is_file()):
        return None
    source, copy = pair.image.stat(), pair.image_out.stat()
    copied = copy.st_size == source.st_size and copy.st_mtime >= source.st_mtime
    if not (copied or _same_file(pair.image, pair.image_out)):
        return None
    if pair.label_out.stat().st_mtime < pair.label.stat().st_mtime:
        return None
    try:
        label = read_label(pair.label_out)
        with Image.open(pair.image) as image:
            size = image.size
    except (BadFileError, OSError):
        return None
    if label.dtype != np.uint8 or label.shape != size[::-1]:
        return None
    counts = count_pixels(label)
    return counts if values.issuperset(np.flatnonzero(counts).tolist()) else None


def _same_file(a: Path, b: Path) -> bool:
    return b.exists() and os.path.samefile(a, b)


def run(
    convert: Callable[..., Outcome], jobs: Sequence, nproc: int, description: str
) -> list[Outcome]:
    """Runs ``convert`` on every job in worker processes and shows a progress bar.

    A job is a ``Pair`` or any other object with a ``key``. A ``BadFileError`` or ``OSError``
    makes only its own job fail.

    Args:
        convert (callable): Turns a job into an ``Outcome``; must be picklable.
        jobs (Sequence): The jobs.
        nproc (int): Number of worker processes.
        description (str): Text before the progress bar.

    Returns:
        list[Outcome]: Outcomes in the order of ``jobs``.

    Raises:
        ToolError: If a worker process dies.
    """
    return run_in_workers(partial(_attempt, convert), jobs, nproc, description)


def _attempt(convert: Callable[..., Outcome], job) -> Outcome:
    try:
        return convert(job)
    except (BadFileError, OSError) as error:
        return Outcome(job.key, 'failed', reason=str(error))


def report(
    outcomes: Sequence[Outcome], classes: Sequence[str], lists: dict[str, int] | None = None
) -> int:
    """Prints the numbers of outcomes, the share of each class in all pixels, and every failure.

    Args:
        outcomes (Sequence[Outcome]): Results of all jobs.
        classes (Sequence[str]): Names of the label values 0, 1, …
        lists (dict, optional): Number of frames in each split's list.

    Returns:
        int: The tool's exit code, 1 if any job failed, else 0.
    """
    failed = [outcome for outcome in outcomes if outcome.status == 'failed']
    done = [outcome for outcome in outcomes if outcome.status != 'failed']
    kept = sum(outcome.status == 'kept' for outcome in done)
    print(f'{len(done) - kept} written, {kept} already there, {len(failed)} failed')
    if done:
        counts = np.sum([outcome.counts for outcome in done], axis=0)
        print('share of all pixels:')
        for value, name in [*enumerate(classes), (IGNORED, '(ignored)')]:
            print(f'  {name:<16}{counts[value] / counts.sum():8.2%}')
    for name, length in (lists or {}).items():
        print(f'splits/{name}.txt: {length} images')
    for outcome in failed:
        print(f'failed: {outcome.key}: {outcome.reason}', file=sys.stderr)
    return 1 if failed else 0


def check_folders(source: Path, destination: Path) -> None:
    """Raises ``ToolError`` unless ``source`` is a folder and ``destination`` a different one."""
    if not source.is_dir():
        raise ToolError(f'source folder {source} does not exist')
    if destination.exists() and not destination.is_dir():
        raise ToolError(f'destination {destination} is not a folder')
    if source.resolve() == destination.resolve():
        raise ToolError(f'source and destination are the same folder, {source}')


def converter_parser(description: str, example: str, source: str) -> argparse.ArgumentParser:
    """Builds an argument parser with the arguments that all converters share.

    Args:
        description (str): What the tool does.
        example (str): Example command line for the help text.
        source (str): Help text that says what the source folder must contain.
    """
    parser = argparse.ArgumentParser(
        description=description,
        epilog=f'example:\n  {example}\n\nInterrupted, it goes on where it was when run again. '
        'Exit code: 0 all done,\n1 some files failed (they are named), 2 wrong usage.',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('source', type=Path, help=source)
    parser.add_argument('destination', type=Path, help='folder to write, made if missing')
    add_nproc(parser)
    return parser


def add_images(parser: argparse.ArgumentParser) -> None:
    """Adds the option ``--images``."""
    parser.add_argument(
        '--images',
        choices=('copy', 'link'),
        default='copy',
        help='copy the images, or hard-link them, which takes no space but needs source and '
        'destination on one file system (default: %(default)s)',
    )
