"""Images to segment: found in a folder, read whole, written in the format of their name."""

from pathlib import Path

import cv2
import mmcv
import numpy as np

from .conversion import decode, read_complete

IMAGE_SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.png', '.ppm', '.tif', '.tiff', '.webp')
"""Of the formats that can be both read and written, in lower case."""


def is_image(path: Path) -> bool:
    """Whether a file is an image by its suffix, in whatever case.

    Example:
        >>> is_image(Path('STREET.JPG'))
        True
    """
    return path.suffix.lower() in IMAGE_SUFFIXES


def image_files(folder: Path) -> list[Path]:
    """Finds the images in a folder and in all folders below it, sorted by path."""
    return sorted(path for path in folder.rglob('*') if is_image(path) and path.is_file())


def read_image(path: Path) -> np.ndarray:
    """Reads an image as MMSegmentation does and makes sure that it is whole.

    Grey images become three equal channels, transparency is left out, of 16 bits the upper 8 are
    taken, and the camera's orientation (EXIF) is applied.

    Args:
        path: The file.

    Returns:
        (H, W, 3) uint8 BGR.

    Raises:
        BadFileError: The file is missing, truncated, damaged or no image.
    """
    data, _ = read_complete(path)
    return decode(data, path, mmcv.imfrombytes)


def encode_image(image: np.ndarray, suffix: str) -> bytes:
    """Encodes a uint8 BGR image (H, W, 3) in the format of one of :data:`IMAGE_SUFFIXES`."""
    return cv2.imencode(suffix.lower(), image)[1].tobytes()
