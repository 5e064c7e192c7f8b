"""Where the predicted label map of an image is saved."""

import os
from pathlib import Path


def prediction_path(folder: str | Path, img_path: str, image_dir: str) -> Path:
    """The PNG of an image's prediction.

    Its path below ``folder`` is that of the image below the data set's image folder: SYNTHIA-SEQS
    repeats base names over views, and files named by them would overwrite one another.

    Args:
        folder: Folder of the predictions.
        img_path: The image.
        image_dir: The data set's image folder, ``data_prefix['img_path']``.

    Example:
        >>> prediction_path('out', 'images/val/Omni_F/000000.jpg', 'images/val').as_posix()
        'out/Omni_F/000000.png'
    """
    return (Path(folder) / os.path.relpath(img_path, image_dir)).with_suffix('.png')
