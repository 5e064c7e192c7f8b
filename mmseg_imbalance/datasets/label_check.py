"""Checks that label maps will be read as the ids that are stored in them.

MMSegmentation's loader takes 16-bit ids modulo 256. Pillow and OpenCV stretch the ids of 2-bit and
4-bit grey images over 0 to 255. OpenCV returns a palette's colours instead of its indices. Many
formats are lossy, and damaged data may decode to other pixels. None of this would be noticed later.
Therefore only the few storage formats that are known to be read as stored pass these checks.
"""

import os
from collections.abc import Sequence
from io import BytesIO

import cv2
import mmcv
import numpy as np
from mmengine import fileio
from mmengine.utils import scandir
from mmseg.datasets.basesegdataset import BaseSegDataset
from mmseg.datasets.transforms import LoadAnnotations
from PIL import Image, UnidentifiedImageError

from ..utils.command_line import first_line
from ..utils.errors import BadFileError
from ..utils.logs import in_later_worker, warn_once
from .wrappers import inside

_ONE_CHANNEL = ('1', 'L', 'P')  # Pillow's modes of up to 8 bits; in P the ids are palette indices
_DEEP = ('I', 'F')  # how Pillow's deeper modes start, such as I;16
# Pixel formats, in Pillow's notation, that each backend reads as stored.
_STORED = {'pillow': {'L', 'P', '1', 'P;1', 'P;2', 'P;4'}, 'cv2': {'L'}}
_SHALLOW = ('1', 'L;2', 'L;4')
_READING = {name: getattr(LoadAnnotations, name) for name in ('_load_seg_map', 'transform')}
_LOSSLESS_TIFF = {'raw', 'packbits', 'tiff_lzw', 'tiff_deflate', 'tiff_adobe_deflate'}
_ORIENTATION = 0x0112  # EXIF tag; values from 5 on swap width and height


class CheckedFiles(BaseSegDataset):
    """A ``BaseSegDataset`` that checks each sample's files and names them in errors.

    ``check_label_map`` checks each label map before the pipeline's ``LoadAnnotations`` reads it, in
    training, validation and test alike. That takes a fraction of a millisecond. To get the same
    check for your own data set, derive it from this class.

    Raises:
        BadFileError: When a sample is loaded whose files cannot be used; names the files.

    Example:
        >>> from mmseg_imbalance.datasets import CamVidDataset
        >>> issubclass(CamVidDataset, CheckedFiles)
        True
    """

    def load_data_list(self) -> list[dict]:
        """Lists the samples, and warns of images that the case of their suffix leaves out."""
        samples = super().load_data_list()
        warn_of_left_out(self, samples)
        return samples

    def prepare_data(self, idx: int):
        """Loads and transforms a sample."""
        info = self.get_data_info(idx)
        try:
            steps = {id(step): step for step in inside(self.pipeline)}  # in TestTimeAug too, once
            for step in steps.values():
                check_label_map(info, step)
            return self.pipeline(info)
        except Exception as error:  # pipelines raise anything, mostly without naming a file
            files = [info[key] for key in ('seg_map_path', 'img_path') if info.get(key)]
            raise BadFileError(f'{" of ".join(files)}: {reason_of(error)}') from error


def reason_of(error: Exception) -> str:
    """Returns an error's message, after its class name if the file may not be the cause."""
    text, name = first_line(error), type(error).__name__
    if isinstance(error, BadFileError | OSError | cv2.error) or text == name:
        return text
    return f'{name}: {text}'


def warn_of_left_out(dataset: BaseSegDataset, samples: Sequence[dict]) -> None:
    """Warns once of images whose suffix differs from the data set's in its case alone.

    MMSegmentation lists the images of a folder by the exact suffix, without a word about others.

    Args:
        dataset: The data set. Folders at addresses are not looked at.
        samples: The samples that it lists, all or some.
    """
    folder, suffix = dataset.data_prefix.get('img_path') or '', dataset.img_suffix
    by_list = dataset.ann_file and not os.path.isdir(dataset.ann_file)
    if by_list or not suffix or not os.path.isdir(folder):
        return
    listed = {sample.get('img_path') for sample in samples}
    found = scandir(folder, suffix, recursive=True, case_sensitive=False)
    others = [name for name in found if not name.endswith(suffix)]
    left_out = [name for name in others if os.path.join(folder, name) not in listed]
    if left_out:
        warn_once(
            f'{type(dataset).__name__} does not list the images in {folder} whose suffix has other '
            f'capitals than {suffix}: {len(left_out)}, such as {left_out[0]}; rename them'
        )


def check_label_map(info: dict, loader) -> None:
    """Checks that a loader will read the ids that are stored in a label map.

    Args:
        info: A sample's ``seg_map_path`` and, to compare the sizes, ``img_path``.
        loader: The transform that will read the label map. Only MMSegmentation's
            ``LoadAnnotations`` and subclasses that read files with its code are checked; a warning
            names other loaders of annotations once.

    Raises:
        BadFileError: If the file is not an image, is damaged, does not hold ids of up to 8 bits in
            one channel, may not be read as stored, or differs in size from its image. The message
            does not name the file.
        OSError: If the file cannot be read.
    """
    kind = type(loader)
    if any(getattr(kind, name, None) is not method for name, method in _READING.items()):
        if loads_annotations(loader) and not in_later_worker():
            warn_once(
                f'{kind.__name__} reads label maps in a way of its own: nobody checks that their '
                'ids are read as they are stored, such as those above 255'
            )
        return
    data = fileio.get(info['seg_map_path'], backend_args=loader.backend_args)
    if loader.imdecode_backend in _STORED:
        size = _checked_size(data, loader.imdecode_backend)
    else:
        size = _size_of_ids(data, loader.imdecode_backend)
    expected = _image_size(info.get('img_path') or '')
    if expected not in (None, size):
        raise BadFileError(
            '{}x{} pixels, but its image {} has {}x{}'.format(*size, info['img_path'], *expected)
        )


def loads_annotations(transform) -> bool:
    """Whether a transform loads label maps, judged by its base class or its name."""
    return isinstance(transform, LoadAnnotations) or 'Annotation' in type(transform).__name__


def check_ids(image: Image.Image, backend: str = 'pillow') -> None:
    """Checks that an image will be read as the ids that are stored: one channel, no losses.

    Both backends accept 8-bit grey PNG, TIFF and BMP files. Pillow also accepts 8-bit palettes,
    whose indices are the ids, and PNG and TIFF files of 1 bit or with a smaller palette.

    Args:
        image: The file, opened but not yet loaded.
        backend: The library that will read it, ``'pillow'`` or ``'cv2'`` for OpenCV.

    Raises:
        BadFileError: If it would be read otherwise; the message does not name the file.
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
        kind = ' '.join([image.format, *pixels, str(image.info.get('compression', ''))]).strip()
        raise BadFileError(f'a {kind} file, which need not be read as stored; store it as PNG')


def _pixels(image: Image.Image) -> set[str]:
    """Returns Pillow's names of a PNG's, TIFF's or BMP's pixel formats, else an empty set."""
    if image.format not in ('PNG', 'TIFF', 'BMP'):
        return set()
    return {tile.args if isinstance(tile.args, str) else tile.args[0] for tile in image.tile}


def _keeps_pixels(image: Image.Image) -> bool:
    """Whether the pixels of a PNG, TIFF or BMP and their order are preserved."""
    if image.format == 'TIFF':
        lossless = image.info['compression'] in _LOSSLESS_TIFF
        return lossless and image.tag_v2.get(_ORIENTATION, 1) == 1
    # Pillow takes some BMP files of fewer than 8 bits for 8-bit ones; their rows are shorter.
    row = (image.width + 3) // 4 * 4
    return image.format == 'PNG' or [tile.args[1] for tile in image.tile] == [row]


def _size_of_ids(data: bytes, backend: str) -> tuple[int, int]:
    """Decodes a label map as MMSegmentation will, checks the values, and returns (width, height).

    For backends whose reading of the many formats is not known, such as tifffile.
    """
    try:
        ids = mmcv.imfrombytes(data, flag='unchanged', backend=backend).squeeze()
    except Exception as error:  # decoders raise almost anything on damaged files
        raise BadFileError(f'{backend} cannot decode it ({first_line(error)})') from error
    if ids.ndim != 2:
        raise BadFileError(f'{backend} reads shape {ids.shape}, not one channel of class ids')
    with np.errstate(invalid='ignore'):  # of NaN
        changed = ids[ids.astype(np.uint8) != ids]
    if changed.size:
        raise BadFileError(
            f'{backend} reads {ids.dtype} values such as {changed[0]}, which are no ids from 0 to '
            '255; convert it first'
        )
    return ids.shape[::-1]


def _checked_size(data: bytes, backend: str) -> tuple[int, int]:
    try:
        with Image.open(BytesIO(data)) as image:
            check_ids(image, backend)
            size = image.size
            if image.format == 'PNG':
                image.verify()  # Pillow does not compare the checksums when loading
            else:
                image.load()  # no checksums here; OpenCV would fill in missing pixels
    except UnidentifiedImageError as error:
        raise BadFileError('not an image file' if data else 'an empty file') from error
    except BadFileError:
        raise
    except Image.DecompressionBombError as error:
        raise BadFileError(
            f'larger than Pillow reads ({first_line(error)}): cut it into tiles'
        ) from error
    except Exception as error:  # Pillow's decoders raise almost anything on damaged files
        raise BadFileError(f'not a complete image file ({first_line(error)})') from error
    return size


def _image_size(path: str | os.PathLike) -> tuple[int, int] | None:
    """Returns an image's (width, height) as read, None if it is not local or Pillow fails."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            if image.format == 'TIFF':  # newer releases of Pillow turn the size, others do not
                width, height = image.tag_v2[256], image.tag_v2[257]
            # Of a PNG, use only EXIF data that are already known; a search would load the image.
            exif = image.getexif() if image.format != 'PNG' or 'exif' in image.info else {}
    except Exception:  # the code that loads the image will report the error
        return None
    return (height, width) if exif.get(_ORIENTATION, 1) >= 5 else (width, height)
