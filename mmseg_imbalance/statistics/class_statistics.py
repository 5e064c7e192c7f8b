"""The number of pixels of each class in every label map of a data set."""

import json
from dataclasses import dataclass, replace
from functools import cached_property
from io import BytesIO
from pathlib import Path

import numpy as np

from ..utils.errors import BadFileError
from ..utils.files import numpy_reason, read_bytes, write_atomically

FORMAT = 1
"""File format version, to be increased with any change of the arrays or their meaning."""

_MEMBERS = {'format', 'classes', 'keys', 'pixels', 'ignored', 'fingerprint', 'file_sizes'}
# A damaged or hostile file can claim any size. 8 GiB are 300 classes of 3.5 million label maps.
_MAX_BYTES = 1 << 30  # of a file
_MAX_UNPACKED = 1 << 33  # of its arrays
_MAX_PIXELS = 1 << 53  # of all label maps; up to this number, sums and shares are exact


def class_shares(pixels: np.ndarray, draws: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Computes shares of every class from pixel counts.

    Args:
        pixels: (n, C), pixels of each class in each of n label maps.
        draws: (n,), how often each label map counts, in units of the average; None: once each.

    Returns:
        ``'pixels'``, the share of all counted pixels, and ``'images'``, the share of the label maps
        that hold the class; float64 (C,) in [0, 1] each.

    Example:
        >>> class_shares(np.array([[6, 2], [8, 0]]))
        {'pixels': array([0.875, 0.125]), 'images': array([1. , 0.5])}
    """
    total, holding = _total(pixels, draws), _total(pixels > 0, draws)
    return {'pixels': total / max(total.sum(), 1), 'images': holding / len(pixels)}


def _total(values: np.ndarray, draws: np.ndarray | None) -> np.ndarray:
    return values.sum(0) if draws is None else draws @ values


@dataclass(frozen=True, eq=False)
class ClassStatistics:
    """Pixels of each class in each label map of a data set.

    Args:
        classes (tuple[str, ...]): Names of the C classes.
        keys (tuple[str, ...]): Path of each of the n label maps relative to the data root, with
            ``/`` as separator.
        pixels (np.ndarray): int64 (n, C), pixels of each class in each label map.
        ignored (np.ndarray): int64 (n,), pixels of each label map with the ignored label.
        fingerprint (str): Identifies the list of label maps and how they are read, see
            :class:`LabelMaps`.
        file_sizes (np.ndarray, optional): int64 (n,), bytes of each label map when it was counted;
            None if unknown.
        draws (np.ndarray, optional): float64 (n,), how often a training sees each label map, in
            units of the average; not saved. None: all equally often.

    Raises:
        ValueError: If the parts do not fit together; the message says which and why.
    """

    classes: tuple[str, ...]
    keys: tuple[str, ...]
    pixels: np.ndarray
    ignored: np.ndarray
    fingerprint: str
    file_sizes: np.ndarray | None = None
    draws: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name in ('classes', 'keys'):
            values = getattr(self, name)
            if not (values and all(isinstance(value, str) for value in values)):
                raise ValueError(f'{name} must be a list of names, got {str(values)[:80]}')
            if len(set(values)) != len(values):
                raise ValueError(f'{name} must differ from one another')
        if not isinstance(self.fingerprint, str):
            raise ValueError(f'fingerprint must be text, got {str(self.fingerprint)[:80]}')
        rows = (len(self.keys),)
        shapes = {'pixels': (*rows, len(self.classes)), 'ignored': rows, 'file_sizes': rows}
        for name, shape in shapes.items():
            array = getattr(self, name)
            if array is None and name == 'file_sizes':
                continue
            if array.dtype != np.int64 or array.shape != shape:
                raise ValueError(
                    f'{name} must be int64 of shape {shape}, got {array.dtype} of {array.shape}'
                )
            if (array < 0).any():
                raise ValueError(f'{name} has a negative count')
            if array.sum(dtype=np.float64) >= _MAX_PIXELS:  # would overflow in int64
                raise ValueError(f'{name} sum up to {array.sum(dtype=np.float64):.3g}')

    @cached_property
    def pixel_share(self) -> np.ndarray:
        """Share of each class in all pixels that are not ignored, float64 (C,) in [0, 1]."""
        return self.shares()['pixels']

    def total(self, values: np.ndarray) -> np.ndarray:
        """Sums values of every label map, (n, …), over the label maps as training sees them.

        Example:
            >>> pixels = np.array([[9, 1], [10, 0]])
            >>> counted = ClassStatistics(('a', 'b'), ('1', '2'), pixels, np.array([0, 0]), '')
            >>> counted.total(pixels), counted.drawn(np.array([3, 1])).total(pixels)
            (array([19,  1]), array([18.5,  1.5]))
        """
        return _total(values, self.draws)

    def drawn(self, draws: np.ndarray) -> 'ClassStatistics':
        """Returns the statistics of a training that sees label maps more or less often.

        Args:
            draws: (n,), how often it sees each label map, in any unit.
        """
        equal = (draws == draws[0]).all()
        return replace(self, draws=None if equal else draws / draws.mean())

    @property
    def ignored_share(self) -> float:
        """Share of the pixels with the ignored label, in [0, 1]."""
        ignored = self.total(self.ignored)
        return float(ignored / max(ignored + self.total(self.pixels).sum(), 1))

    def image_share(self) -> np.ndarray:
        """Share of the label maps that hold a class, float64 (C,) in [0, 1]."""
        return self.shares()['images']

    def shares(self) -> dict[str, np.ndarray]:
        """Returns :attr:`pixel_share` and :meth:`image_share`, see :func:`class_shares`."""
        return class_shares(self.pixels, self.draws)

    def save(self, path: str | Path) -> None:
        """Writes a compressed ``.npz`` file, either completely or not at all."""
        write_atomically(Path(path), self.to_bytes())

    @classmethod
    def load(cls, path: str | Path) -> 'ClassStatistics':
        """Reads what :meth:`save` wrote.

        Raises:
            ValueError: If the file is missing, damaged or of another kind; the message names it.
        """
        try:
            data = read_bytes(Path(path), _MAX_BYTES)
            with np.load(BytesIO(data), allow_pickle=False) as archive:
                return cls._of_archive(archive)
        except FileNotFoundError as error:
            raise BadFileError(
                f'{path}: there are no such class statistics; create them with '
                f'tools/analysis_tools/class_statistics.py CONFIG --out {path} or, without '
                'MMSegmentation, with count_label_maps'
            ) from error
        except Exception as error:  # damaged archives make zipfile and NumPy raise almost anything
            reason = getattr(error, 'strerror', None) or numpy_reason(error)
            raise BadFileError(
                f'{path}: cannot read the class statistics ({" ".join(reason.split())}); '
                'recreate it with tools/analysis_tools/class_statistics.py --force'
            ) from error

    @classmethod
    def _of_archive(cls, archive: np.lib.npyio.NpzFile) -> 'ClassStatistics':
        if sum(member.file_size for member in archive.zip.infolist()) > _MAX_UNPACKED:
            raise ValueError(f'more than {_MAX_UNPACKED >> 30} GiB when unpacked')
        strange = set(archive.files) - _MEMBERS
        if strange:  # damage can rename an optional member
            raise ValueError(f'unknown member {min(strange)!r:.80}')
        if archive['format'] != FORMAT:
            raise ValueError(f'format {archive["format"]}, this version reads {FORMAT}')
        return cls(
            classes=tuple(_unpack(archive['classes'])),
            keys=tuple(_unpack(archive['keys'])),
            pixels=archive['pixels'],
            ignored=archive['ignored'],
            fingerprint=_unpack(archive['fingerprint']),
            file_sizes=archive.get('file_sizes'),  # files of earlier versions have none
        )

    def to_bytes(self) -> bytes:
        """Returns the file content; the same statistics give the same bytes."""
        buffer = BytesIO()
        known = {} if self.file_sizes is None else {'file_sizes': self.file_sizes}
        np.savez_compressed(
            buffer,
            **known,
            format=np.int64(FORMAT),
            classes=_pack(self.classes),
            keys=_pack(self.keys),
            pixels=self.pixels,
            ignored=self.ignored,
            fingerprint=_pack(self.fingerprint),
        )
        return buffer.getvalue()


def _pack(value: str | tuple[str, ...]) -> np.ndarray:
    """Encodes text as uint8; text arrays would be padded to the longest text, or pickled."""
    return np.frombuffer(json.dumps(value).encode(), np.uint8)


def _unpack(array: np.ndarray):
    return json.loads(array.tobytes())
