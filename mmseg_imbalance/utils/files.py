"""Writing files completely or not at all, and reading files without trusting them."""

import os
import secrets
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from .command_line import first_line
from .errors import FileError, ToolError


def read_bytes(path: Path, limit: int) -> bytes:
    """Reads a file that has at most ``limit`` bytes.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If the file is larger; the excess is not read.
    """
    with path.open('rb') as file:
        if os.fstat(file.fileno()).st_size <= limit:  # 0 for a device, which may never end
            data = file.read(limit + 1)
            if len(data) <= limit:
                return data
    raise ValueError(f'larger than {limit >> 20} MiB')


def read_array(path: Path) -> np.ndarray:
    """Reads real numbers from a ``.npy`` file.

    Nothing in the file is unpickled. Reading takes no more memory than the file has bytes, whatever
    shape it claims.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If the file is damaged, of another kind, or does not hold real numbers.
    """
    path.open('rb').close()  # the system's error rather than NumPy's
    try:
        found = np.load(path, mmap_mode='r', allow_pickle=False)  # no map exceeds its file
    except Exception as error:  # damaged files make NumPy raise almost anything
        raise ValueError(f'no complete .npy file of numbers ({numpy_reason(error)})') from error
    if not isinstance(found, np.ndarray) or found.dtype.kind not in 'iuf':
        kind = found.dtype if isinstance(found, np.ndarray) else 'several arrays'
        raise ValueError(f'{kind} instead of real numbers')
    return np.array(found)


def numpy_reason(error: Exception) -> str:
    """Returns why NumPy did not load a file, in one line and without advice to trust pickles."""
    reason = first_line(error)
    return 'pickles are refused' if 'pickle' in reason or 'Python objects' in reason else reason


def check_writable(path: Path) -> None:
    """Checks that a file can be written, and creates its folder.

    Raises:
        FileError: If it cannot; says why.
    """
    probe = path.with_name(f'.{path.name}.{secrets.token_hex(4)}.probe')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
        if path.is_dir():
            raise IsADirectoryError(None, 'Is a directory')
    except OSError as error:
        raise FileError(f'{path} cannot be written ({error.strerror})') from error


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a file completely or not at all, and creates its folder."""
    place(path, lambda temporary: temporary.write_bytes(data))


def place(path: Path, make: Callable[[Path], object]) -> None:
    """Creates a file under a temporary name beside ``path``, then renames it to ``path``.

    Args:
        path: The file; its folder is created if missing.
        make: Function that creates a file at the path that it is given.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # A process id is not enough: containers that share a folder may have equal ones.
    temporary = path.with_name(f'.{path.name}.{secrets.token_hex(4)}.tmp')
    try:
        make(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_figure(path: Path, figure, dpi: int = 110) -> None:
    """Saves a Matplotlib figure, completely or not at all, and creates its folder.

    Args:
        path: The file; its suffix says the format, none means PNG.
        figure: The figure.
        dpi: Its resolution.

    Raises:
        ToolError: If Matplotlib does not write this format.
    """
    from matplotlib.ticker import LogFormatter  # imported late: most callers draw no figures

    kind = path.suffix[1:].lower() or 'png'
    known = figure.canvas.get_supported_filetypes()
    if kind not in known:
        raise ToolError(
            f'{path} cannot be a figure: its suffix can be .{", .".join(sorted(known))}'
        )
    powers = {
        label
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        if isinstance(axis.get_major_formatter(), LogFormatter)
        for label in axis.get_ticklabels(which='both')
    }
    for text in figure.findobj(lambda artist: hasattr(artist, 'set_parse_math')):
        if text not in powers:
            text.set_parse_math(False)  # a $ in a class or run name must not start a formula
    place(path, partial(figure.savefig, format=kind, dpi=dpi))
