"""Files that are written completely or not at all, and read without trusting them."""

import os
import secrets
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from .command_line import first_line


def read_bytes(path: Path, limit: int) -> bytes:
    """Reads a file that has at most ``limit`` bytes.

    Raises:
        OSError: It cannot be read.
        ValueError: It has more; no more than the limit is read of it.
    """
    with path.open('rb') as file:
        if os.fstat(file.fileno()).st_size <= limit:  # 0 of a device, which may never end
            data = file.read(limit + 1)
            if len(data) <= limit:
                return data
    raise ValueError(f'larger than {limit >> 20} MiB')


def read_array(path: Path) -> np.ndarray:
    """Reads real numbers from a ``.npy`` file.

    Nothing in it is unpickled, and no more memory is taken than the file has bytes, whatever shape
    it claims.

    Raises:
        OSError: It cannot be read.
        ValueError: It is damaged, of another kind, or holds something else.
    """
    path.open('rb').close()  # for the operating system's own words, before NumPy's
    try:
        found = np.load(path, mmap_mode='r', allow_pickle=False)  # no map is larger than its file
    except Exception as error:  # damaged files make NumPy raise almost anything
        raise ValueError(f'no complete .npy file of numbers ({numpy_reason(error)})') from error
    if not isinstance(found, np.ndarray) or found.dtype.kind not in 'iuf':
        kind = found.dtype if isinstance(found, np.ndarray) else 'several arrays'
        raise ValueError(f'{kind} instead of real numbers')
    return np.array(found)


def numpy_reason(error: Exception) -> str:
    """Why NumPy did not load a file, in one line; of pickles it would advise to trust them."""
    reason = first_line(error)
    return 'pickles are refused' if 'pickle' in reason or 'Python objects' in reason else reason


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a file that is there completely or not at all, and makes its folder."""
    place(path, lambda temporary: temporary.write_bytes(data))


def place(path: Path, make: Callable[[Path], object]) -> None:
    """Has a file made under a temporary name beside ``path`` and then renamed to it.

    Args:
        path: The file; its folder is made where missing.
        make: Makes the file whose path it is given.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # not the process's number: containers that share a folder may share that too
    temporary = path.with_name(f'.{path.name}.{secrets.token_hex(4)}.tmp')
    try:
        make(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_figure(path: Path, figure, dpi: int = 110) -> None:
    """Saves a Matplotlib figure as PNG, completely or not at all, and makes its folder."""
    from matplotlib.ticker import LogFormatter  # late: most who write files draw nothing

    powers = {
        label
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        if isinstance(axis.get_major_formatter(), LogFormatter)
        for label in axis.get_ticklabels(which='both')
    }
    for text in figure.findobj(lambda artist: hasattr(artist, 'set_parse_math')):
        if text not in powers:
            text.set_parse_math(False)  # a $ in the name of a class or run begins no formula
    place(path, partial(figure.savefig, format='png', dpi=dpi))
