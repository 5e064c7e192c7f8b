"""Where the predicted label map of an image is saved."""

import os
from pathlib import Path


def prediction_path(folder: str | Path, img_path: str, image_dir: str) -> Path:
    """Returns the PNG path of an image's prediction.

    Below ``folder``, it is the image's path below the data set's image folder: SYNTHIA-SEQS
    repeats base names over views, so files named by them would overwrite one another. An image
    elsewhere, as a list of files may name, keeps its whole path.

    Args:
        folder: Folder of the predictions.
        img_path: Path of the image.
        image_dir: The data set's image folder, ``data_prefix['img_path']``.

    Example:
        >>> prediction_path('out', 'images/val/Omni_F/000000.jpg', 'images/val').as_posix()
        'out/Omni_F/000000.png'
    """
    below = Path(os.path.relpath(img_path, image_dir))
    if os.pardir in below.parts:
        _, address, name = str(img_path).rpartition('://')
        elsewhere = Path(name if address else os.path.abspath(img_path))
        below = elsewhere.relative_to(elsewhere.anchor)
    return (Path(folder) / below).with_suffix('.png')
