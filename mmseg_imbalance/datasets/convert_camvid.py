"""Conversion of CamVid from the SegNet tutorial's layout."""

from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from ..utils.errors import BadFileError, ToolError
from .camvid import SUFFIXES, CamVidDataset
from .conversion import Outcome, Pair, convert_pair, of_suffix, read_label, run
from .label_check import check_ids

SPLITS = ('train', 'val', 'test')
TABLE = {**{i: i for i in range(11)}, CamVidDataset.UNLABELLED: 255, 255: 255}


def find_pairs(source: Path, destination: Path) -> list[Pair]:
    """Lists the frames of a folder in the tutorial's layout or with images/ and labels/.

    Raises:
        ToolError: If no label is found, a frame has several images, or a suffix is in capitals.
    """
    pairs = []
    for split in SPLITS:
        for images, labels in (
            (source / split, source / f'{split}annot'),
            (source / 'images' / split, source / 'labels' / split),
        ):
            found = _images(images)
            labelled = of_suffix(labels.glob('*'), '.png')
            for stem in sorted({*found, *(path.stem for path in labelled)}):
                image = found.get(stem, images / f'{stem}.png')
                label = labels / f'{stem}.png'
                pairs.append(Pair(f'{split}/{stem}', image, label, destination))
    if not pairs:
        raise ToolError(
            f'{source} holds neither train/ and trainannot/ nor images/train/ and labels/train/'
        )
    return pairs


def _images(folder: Path) -> dict[str, Path]:
    images: dict[str, Path] = {}
    for path in [path for suffix in SUFFIXES for path in of_suffix(folder.glob('*'), suffix)]:
        if path.stem in images:
            raise ToolError(f'{folder} has both {path.stem}.png and {path.stem}.jpg; delete one')
        images[path.stem] = path
    return images


def read_class_ids(path: Path) -> np.ndarray:
    """Reads a label (H, W) of 8-bit class ids.

    Raises:
        BadFileError: If the file is damaged, not 8-bit or has more than one channel.
    """
    label = read_label(path)
    try:
        with Image.open(path) as image:
            check_ids(image, 'cv2')
    except BadFileError as error:
        raise BadFileError(f'{path}: {error}') from error
    return label


def convert_camvid(source: Path, destination: Path, nproc: int) -> list[Outcome]:
    """Converts the labels, mapping unlabelled from 11 to 255, and copies the images.

    Args:
        source (Path): ``CamVid`` folder of the SegNet tutorial, or one with images/ and labels/.
        destination (Path): Folder to write.
        nproc (int): Number of worker processes.

    Returns:
        list[Outcome]: One outcome per frame.

    Raises:
        ToolError: If ``source`` does not contain CamVid.
    """
    convert = partial(convert_pair, class_ids=read_class_ids, table=TABLE)
    return run(convert, find_pairs(source, destination), nproc, 'converting')
