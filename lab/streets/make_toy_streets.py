"""Writes toy streets to disk in the folder layout of Cityscapes."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmseg_imbalance.datasets.conversion import Outcome, read_complete, read_label, run
from mmseg_imbalance.utils.errors import BadFileError, ToolError
from mmseg_imbalance.utils.files import write_atomically
from mmseg_imbalance.utils.images import encode_png
from mmseg_imbalance.utils.label_values import count_pixels

from ..claim import claim
from .street_scene import draw_street

SCENES_VERSION = 1
"""Version of the scenes; raise it whenever ``draw_street`` draws something else."""

CITIES = {'train': 'toyville', 'val': 'bricktown'}


@dataclass(frozen=True)
class Scene:
    """One image of a data set: its index within a split, and how to draw it."""

    root: Path
    split: str
    index: int
    seed: int
    size: tuple[int, int]

    @property
    def key(self) -> str:
        """Path of image and label map below their folders, without suffix."""
        city = CITIES[self.split]
        return f'{self.split}/{city}/{city}_{self.index:06d}'

    @property
    def image(self) -> Path:
        """Path of the image."""
        return self.root / f'leftImg8bit/{self.key}_leftImg8bit.png'

    @property
    def label(self) -> Path:
        """Path of the label map."""
        return self.root / f'gtFine/{self.key}_gtFine_labelTrainIds.png'


def make_toy_streets(
    root: Path, counts: dict[str, int], seed: int, size: tuple[int, int], nproc: int
) -> list[Outcome]:
    """Draws a data set, or the missing part of one.

    Args:
        root (Path): Folder of the data set.
        counts (dict): Number of images of each split, ``'train'`` and ``'val'``.
        seed (int): Seed, not negative; image i of a split depends on (seed, split, i) alone.
        size (tuple[int, int]): Width and height in pixels, 32 to 4096 each.
        nproc (int): Number of worker processes.

    Returns:
        list[Outcome]: One outcome for each image.

    Raises:
        ToolError: If the size is out of range, or if the folder holds a data set with another
            seed, size or version, or with more images than asked for.
    """
    if not all(32 <= side <= 4096 for side in size):
        raise ToolError(f'size {size[0]}x{size[1]}: each side must be 32 to 4096 pixels')
    scenes = [Scene(root, split, i, seed, size) for split in counts for i in range(counts[split])]
    _claim(root, dict(version=SCENES_VERSION, seed=seed, size=list(size)))
    surplus = set(root.glob('leftImg8bit/*/*/*.png')) - {scene.image for scene in scenes}
    if surplus:
        raise ToolError(
            f'{root} already holds {len(surplus)} images beyond the {len(scenes)} asked for, such '
            f'as {min(surplus).name}; delete the folder, or ask for as many as before'
        )
    return run(draw_files, scenes, nproc, 'drawing')


def _claim(root: Path, recipe: dict) -> None:
    """Writes the recipe to ``meta.json``, or checks that the recipe there is the same."""
    meta = root / 'meta.json'
    if not meta.exists() and root.exists() and any(root.iterdir()):
        raise ToolError(f'{root} is not empty and has no meta.json; choose another folder')
    found = claim(meta, recipe)
    if found != recipe:
        raise ToolError(
            f'{root} was drawn with {found}, not {recipe}; '
            'delete it or choose another folder, the two must not mix'
        )


def draw_files(scene: Scene) -> Outcome:
    """Draws the image and the label map of a scene, unless both exist."""
    counts = _counts_if_done(scene)
    if counts is not None:
        return Outcome(scene.key, 'kept', counts)
    image, label = draw_street(scene.seed, scene.split, scene.index, scene.size)
    write_atomically(scene.image, encode_png(image[..., ::-1]))
    write_atomically(scene.label, encode_png(label))
    return Outcome(scene.key, 'written', count_pixels(label))


def _counts_if_done(scene: Scene) -> np.ndarray | None:
    if not (scene.image.is_file() and scene.label.is_file()):
        return None
    try:
        _, size = read_complete(scene.image)
        label = read_label(scene.label)
    except BadFileError:
        return None
    if size != scene.size or label.shape != size[::-1]:
        return None
    return count_pixels(label)
