"""Label maps that would be read as other ids than are stored, noticed before they are read.

MMSegmentation's loader takes 16-bit ids modulo 256, Pillow and OpenCV stretch the ids of 2-bit and
4-bit grey images over 0 to 255, and damaged data may well unpack to other pixels: each is an error
here, as nobody would notice it later.
"""

import os
from io import BytesIO

from mmengine import fileio
from mmseg.datasets.basesegdataset import BaseSegDataset
from mmseg.datasets.transforms import LoadAnnotations
from PIL import Image, UnidentifiedImageError

from ..command_line import first_line

_ONE_CHANNEL = ('1', 'L', 'P')  # Pillow's modes of up to 8 bits; the ids of P are its indices
_DEEP = ('I', 'F')  # and I;16 and its like
_ORIENTATION = 0x0112  # EXIF's; from 5 on width and height are swapped


class BadFileError(ValueError):
    """A file that cannot be what it is meant to be; the text says why, and mostly which one."""


class CheckedFiles(BaseSegDataset):
    """A ``BaseSegDataset`` that checks the files of a sample, and names them if it cannot be made.

    Where its pipeline has MMSegmentation's own ``LoadAnnotations``, each label map is checked by
    :func:`check_label_map` before it is loaded, in training, validation and test alike; that takes
    a fraction of a millisecond. Derive your data sets from it for the same.

    Raises:
        BadFileError: When a sample is taken whose files cannot be used; names them.

    Example:
        >>> from mmseg_imbalance.datasets import CamVidDataset
        >>> issubclass(CamVidDataset, CheckedFiles)
        True
    """

    def prepare_data(self, idx: int):
        """Loads and transforms a sample."""
        info = self.get_data_info(idx)
        try:
            for step in self.pipeline.transforms:
                check_label_map(info, step)
            return super().prepare_data(idx)
        except Exception as error:  # a pipeline fails in every way, mostly without naming a file
            files = [info[key] for key in ('seg_map_path', 'img_path') if info.get(key)]
            raise BadFileError(f'{" of ".join(files)}: {first_line(error)}') from error


def check_label_map(info: dict, loader) -> None:
    """Makes sure that a loader reads the ids that are stored in a label map.

    Args:
        info: A data set's ``seg_map_path`` and, if its size is to be compared, ``img_path``.
        loader: The transform that is to read it. Only MMSegmentation's own ``LoadAnnotations`` is
            looked after, with Pillow or OpenCV: others may read what they like.

    Raises:
        BadFileError: The file is no image, damaged, no 8-bit ids in one channel, compressed with
            losses, or of another size than its image; the text does not name it.
        OSError: It cannot be read.
    """
    if type(loader) is not LoadAnnotations or loader.imdecode_backend not in ('pillow', 'cv2'):
        return
    size = _checked_size(fileio.get(info['seg_map_path'], backend_args=loader.backend_args))
    expected = _image_size(info.get('img_path') or '')
    if expected not in (None, size):
        raise BadFileError(
            '{}x{} pixels, but its image {} has {}x{}'.format(*size, info['img_path'], *expected)
        )


def check_ids(image: Image.Image) -> None:
    """Makes sure that an image is read as the ids that are stored: 8 bits, one channel, no losses.

    Args:
        image: The file, opened.

    Raises:
        BadFileError: It would not be; the text does not name the file.
    """
    if image.mode.startswith(_DEEP):
        raise BadFileError('more than 8 bits deep, of which 8 would be read; convert it first')
    if image.mode not in _ONE_CHANNEL:
        raise BadFileError(
            f'{len(image.getbands())} channels, not one of class ids; convert it first'
        )
    if any(str(tile.args).startswith(('L;2', 'L;4')) for tile in image.tile):
        raise BadFileError('less than 8 bits deep, which are stretched when read; store it with 8')
    if image.format in ('JPEG', 'MPO'):
        raise BadFileError('a JPEG file, whose losses change class ids; store it as PNG')


def _checked_size(data: bytes) -> tuple[int, int]:
    try:
        with Image.open(BytesIO(data)) as image:
            check_ids(image)
            size = image.size
            image.verify()  # Pillow does not compare the checksums of a PNG when it loads it
    except UnidentifiedImageError as error:
        raise BadFileError('not an image file' if data else 'an empty file') from error
    except BadFileError:
        raise
    except Exception as error:  # Pillow's decoders raise almost anything on damaged files
        raise BadFileError(f'not a complete image file ({first_line(error)})') from error
    return size


def _image_size(path: str | os.PathLike) -> tuple[int, int] | None:
    """Width and height of an image as it is read, None if it is elsewhere or Pillow fails."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            # of a PNG only what is known already: to look for more would load it
            exif = image.getexif() if image.format != 'PNG' or 'exif' in image.info else {}
    except Exception:  # it is for who reads the image to say what is wrong with it
        return None
    return (height, width) if exif.get(_ORIENTATION, 1) >= 5 else (width, height)
