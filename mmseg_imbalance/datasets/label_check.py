"""Label maps that would be read as other ids than are stored, noticed before they are read.

MMSegmentation's loader takes 16-bit ids modulo 256, Pillow and OpenCV stretch the ids of 2-bit and
4-bit grey images over 0 to 255, OpenCV gives the colours of a palette in place of its indices, many
formats lose a little, and damaged data may well unpack to other pixels. Nobody would notice it
later: here all is an error but the few ways to store ids that are known to be read as stored.
"""

import os
from io import BytesIO

import cv2
from mmengine import fileio
from mmseg.datasets.basesegdataset import BaseSegDataset
from mmseg.datasets.transforms import LoadAnnotations
from PIL import Image, UnidentifiedImageError

from ..utils.command_line import first_line
from ..utils.errors import BadFileError

_ONE_CHANNEL = ('1', 'L', 'P')  # Pillow's modes of up to 8 bits; the ids of P are its indices
_DEEP = ('I', 'F')  # and I;16 and its like
# The pixels in a file, in Pillow's words, that come out as they are stored.
_STORED = {'pillow': {'L', 'P', '1', 'P;1', 'P;2', 'P;4'}, 'cv2': {'L'}}
_SHALLOW = ('1', 'L;2', 'L;4')
_LOSSLESS_TIFF = {'raw', 'packbits', 'tiff_lzw', 'tiff_deflate', 'tiff_adobe_deflate'}
_ORIENTATION = 0x0112  # EXIF's; from 5 on width and height are swapped


class CheckedFiles(BaseSegDataset):
    """A ``BaseSegDataset`` that checks the files of a sample, and names them if it cannot be made.

    Where its pipeline has MMSegmentation's own ``LoadAnnotations``, each label map is checked by
    ``check_label_map`` before it is loaded, in training, validation and test alike; that takes
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
            return self.pipeline(info)
        except Exception as error:  # a pipeline fails in every way, mostly without naming a file
            files = [info[key] for key in ('seg_map_path', 'img_path') if info.get(key)]
            raise BadFileError(f'{" of ".join(files)}: {_reason(error)}') from error


def _reason(error: Exception) -> str:
    """What an error says; of what need not be the file's fault, its class as well."""
    text, name = first_line(error), type(error).__name__
    if isinstance(error, BadFileError | OSError | cv2.error) or text == name:
        return text
    return f'{name}: {text}'


def check_label_map(info: dict, loader) -> None:
    """Makes sure that a loader reads the ids that are stored in a label map.

    Args:
        info: A data set's ``seg_map_path`` and, if its size is to be compared, ``img_path``.
        loader: The transform that is to read it. Only MMSegmentation's own ``LoadAnnotations`` is
            looked after, with Pillow or OpenCV: others may read what they like.

    Raises:
        BadFileError: The file is no image, damaged, no 8-bit ids in one channel, stored in
            a way that need not be read as it is, or of another size than its image; the text does
            not name it.
        OSError: It cannot be read.
    """
    if type(loader) is not LoadAnnotations or loader.imdecode_backend not in ('pillow', 'cv2'):
        return
    data = fileio.get(info['seg_map_path'], backend_args=loader.backend_args)
    size = _checked_size(data, loader.imdecode_backend)
    expected = _image_size(info.get('img_path') or '')
    if expected not in (None, size):
        raise BadFileError(
            '{}x{} pixels, but its image {} has {}x{}'.format(*size, info['img_path'], *expected)
        )


def check_ids(image: Image.Image, backend: str = 'pillow') -> None:
    """Makes sure that an image is read as the ids that are stored: one channel, no losses.

    That are PNG, TIFF and BMP files of 8 bits, grey or, read by Pillow, with a palette, whose
    indices are the ids; read by Pillow also PNG and TIFF of 1 bit or with a smaller palette.

    Args:
        image: The file, opened and not loaded yet.
        backend: Who will read it, ``'pillow'`` or ``'cv2'`` for OpenCV.

    Raises:
        BadFileError: It would not be; the text does not name the file.
    """
    if image.mode.startswith(_DEEP):
        raise BadFileError('more than 8 bits deep, of which 8 would be read; convert it first')
    if image.mode not in _ONE_CHANNEL:
        raise BadFileError(
            f'{len(image.getbands())} channels, not one of class ids; convert it first'
        )
    if image.format in ('JPEG', 'MPO'):
        raise BadFileError('a JPEG file, whose losses change class ids; store it as PNG')
    pixels = _pixels(image)
    if image.mode == 'P' and backend == 'cv2':
        raise BadFileError('a palette, not one channel of ids to OpenCV; store it without')
    if pixels & set(_SHALLOW) - _STORED[backend]:
        raise BadFileError('less than 8 bits deep, which are stretched when read; store it with 8')
    if not pixels or pixels - _STORED[backend] or not _keeps_pixels(image):
        kind = ' '.join([image.format, *pixels, image.info.get('compression', '')]).strip()
        raise BadFileError(f'a {kind} file, which need not be read as stored; store it as PNG')


def _pixels(image: Image.Image) -> set[str]:
    """How the pixels of a PNG, TIFF or BMP are stored, as Pillow calls it; of others nothing."""
    if image.format not in ('PNG', 'TIFF', 'BMP'):
        return set()
    return {tile.args if isinstance(tile.args, str) else tile.args[0] for tile in image.tile}


def _keeps_pixels(image: Image.Image) -> bool:
    """Whether a PNG, TIFF or BMP keeps its pixels and their order."""
    if image.format == 'TIFF':
        lossless = image.info['compression'] in _LOSSLESS_TIFF
        return lossless and image.tag_v2.get(_ORIENTATION, 1) == 1
    # of less than 8 bits Pillow takes some BMP for 8: their rows are shorter
    row = (image.width + 3) // 4 * 4
    return image.format == 'PNG' or [tile.args[1] for tile in image.tile] == [row]


def _checked_size(data: bytes, backend: str) -> tuple[int, int]:
    try:
        with Image.open(BytesIO(data)) as image:
            check_ids(image, backend)
            size = image.size
            if image.format == 'PNG':
                image.verify()  # Pillow does not compare its checksums when it loads it
            else:
                image.load()  # without checksums; OpenCV fills up what is missing
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
