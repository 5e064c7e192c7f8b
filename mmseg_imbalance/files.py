"""Files that are there completely or not at all."""

import os
import secrets
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np


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
    place(path, partial(figure.savefig, format='png', dpi=dpi))


def encode_png(image: np.ndarray) -> bytes:
    """Encodes a uint8 label (H, W) or BGR image (H, W, 3) as PNG."""
    return cv2.imencode('.png', image)[1].tobytes()
