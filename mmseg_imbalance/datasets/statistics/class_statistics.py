"""How many pixels of each class every label map of a data set has."""

import json
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path

import numpy as np

from ...files import write_atomically

FORMAT = 1
"""To be raised when the file changes its arrays or their meaning."""

_MAX_BYTES = 1 << 30  # of the arrays of a file; a damaged or hostile one can claim any size


def class_shares(pixels: np.ndarray, min_pixels: int = 1) -> dict[str, np.ndarray]:
    """Shares of every class, from pixel counts.

    Args:
        pixels: (n, C), pixels of each class in each of n label maps.
        min_pixels: From how many pixels on a label map holds a class.

    Returns:
        ``'pixels'``, the share in all pixels counted, and ``'images'``, the share of the label maps
        that hold the class; float64 (C,) in [0, 1] each.

    Example:
        >>> class_shares(np.array([[6, 2], [8, 0]]))
        {'pixels': array([0.875, 0.125]), 'images': array([1. , 0.5])}
    """
    total = pixels.sum(0)
    return {'pixels': total / max(total.sum(), 1), 'images': (pixels >= min_pixels).mean(0)}


@dataclass(frozen=True, eq=False)
class ClassStatistics:
    """Pixels of each class in each label map of a data set.

    Args:
        classes (tuple[str, ...]): Names of the C classes.
        keys (tuple[str, ...]): For each of the n label maps its path relative to the data root,
            with ``/`` as separator.
        pixels (np.ndarray): int64 (n, C), pixels of each class in each label map.
        ignored (np.ndarray): int64 (n,), pixels of each label map with the ignored label.
        fingerprint (str): Identifies the list of label maps and how they are read, see
            :class:`LabelMaps`.

    Raises:
        ValueError: If the parts do not fit one another; says which and why.
    """

    classes: tuple[str, ...]
    keys: tuple[str, ...]
    pixels: np.ndarray
    ignored: np.ndarray
    fingerprint: str

    def __post_init__(self) -> None:
        for name in ('classes', 'keys'):
            values = getattr(self, name)
            if not (values and all(isinstance(value, str) for value in values)):
                raise ValueError(f'{name} must be a list of names, got {str(values)[:80]}')
            if len(set(values)) != len(values):
                raise ValueError(f'{name} must differ from one another')
        shapes = {'pixels': (len(self.keys), len(self.classes)), 'ignored': (len(self.keys),)}
        for name, shape in shapes.items():
            array = getattr(self, name)
            if array.dtype != np.int64 or array.shape != shape:
                raise ValueError(
                    f'{name} must be int64 of shape {shape}, got {array.dtype} of {array.shape}'
                )
            if (array < 0).any():
                raise ValueError(f'{name} has a negative count')

    @cached_property
    def pixel_share(self) -> np.ndarray:
        """Share of each class in all pixels that are not ignored, float64 (C,) in [0, 1]."""
        return class_shares(self.pixels)['pixels']

    def image_share(self, min_pixels: int = 1) -> np.ndarray:
        """Share of the label maps that hold a class, float64 (C,) in [0, 1].

        Args:
            min_pixels: From how many pixels on a label map holds a class.
        """
        return class_shares(self.pixels, min_pixels)['images']

    def save(self, path: str | Path) -> None:
        """Writes a compressed ``.npz``, which is there completely or not at all."""
        write_atomically(Path(path), self.to_bytes())

    @classmethod
    def load(cls, path: str | Path) -> 'ClassStatistics':
        """Reads what :meth:`save` wrote.

        Raises:
            ValueError: If the file is missing, damaged or of another kind; names it.
        """
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise _unreadable(path, error.strerror) from error
        return cls.from_bytes(data, str(path))

    def to_bytes(self) -> bytes:
        """The content of a file; the same statistics give the same bytes."""
        buffer = BytesIO()
        np.savez_compressed(
            buffer,
            format=np.int64(FORMAT),
            classes=_pack(self.classes),
            keys=_pack(self.keys),
            pixels=self.pixels,
            ignored=self.ignored,
            fingerprint=_pack(self.fingerprint),
        )
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes, source: str) -> 'ClassStatistics':
        """Reads the content of a file; nothing in it is run or unpickled.

        Args:
            data: What :meth:`to_bytes` gave.
            source: Name of the file, for the error.

        Raises:
            ValueError: If ``data`` are damaged or of another kind; names ``source``.
        """
        try:
            with np.load(BytesIO(data), allow_pickle=False) as archive:
                if sum(member.file_size for member in archive.zip.infolist()) > _MAX_BYTES:
                    raise ValueError(f'more than {_MAX_BYTES >> 30} GiB when unpacked')
                if archive['format'] != FORMAT:
                    raise ValueError(f'format {archive["format"]}, this version reads {FORMAT}')
                return cls(
                    classes=tuple(_unpack(archive['classes'])),
                    keys=tuple(_unpack(archive['keys'])),
                    pixels=archive['pixels'],
                    ignored=archive['ignored'],
                    fingerprint=_unpack(archive['fingerprint']),
                )
        except Exception as error:  # damaged archives make zipfile and NumPy raise almost anything
            raise _unreadable(source, str(error) or type(error).__name__) from error


def _pack(value: str | tuple[str, ...]) -> np.ndarray:
    """Text as uint8 array; arrays of text would be padded to the longest, or pickled."""
    return np.frombuffer(json.dumps(value).encode(), np.uint8)


def _unpack(array: np.ndarray):
    return json.loads(array.tobytes())


def _unreadable(source: str | Path, reason: str) -> ValueError:
    return ValueError(
        f'{source}: no readable class statistics ({" ".join(reason.split())}); make it anew with '
        'tools/analysis_tools/class_statistics.py --force'
    )
