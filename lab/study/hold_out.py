"""Takes validation images for tuning from the training set."""

import os
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from mmengine import list_from_file
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS

from mmseg_imbalance.utils.files import write_atomically

from .plan import PlanError


def hold_out(
    names: Sequence[str],
    share: float = 0.2,
    group: str = '',
    match: str | None = None,
    listed: Collection[str] | None = None,
) -> tuple[list[str], list[str]]:
    """Splits images into a training part and the last images of every group.

    Neighbouring frames of a video are nearly equal, so a random split would validate on images
    like those of the training. Instead, the last frames of every video, or with ``match`` whole
    videos, are held out in one piece.

    Args:
        names: Names of the images; within a group, sorting them gives their order in time.
        share: The share of every group to hold out, in (0, 1).
        group: Regular expression, matched at the start of the names. Names with the same match,
            such as those of a video, are a group. '' makes a single group.
        match: The images whose names begin with it are held out instead.
        listed: Names of the images to hold out instead.

    Returns:
        The names to train on and the names held out.

    Raises:
        ValueError: If no image is left to train on, or none is held out.

    Example:
        >>> hold_out(['a1', 'a2', 'a3', 'b1', 'b2', 'b3'], share=0.34, group='[a-z]')
        (['a1', 'a2', 'b1', 'b2'], ['a3', 'b3'])
        >>> hold_out(['a1', 'a2', 'b1', 'b2'], match='b')
        (['a1', 'a2'], ['b1', 'b2'])
    """
    unknown = sorted({*(listed or ())} - {*names})
    if unknown:
        raise ValueError(f'{len(unknown)} listed images are not there, such as {unknown[0]}')
    if match is not None:
        listed = [name for name in names if name.startswith(match)]
    held = _last_of_groups(names, share, group) if listed is None else sorted({*names} & {*listed})
    kept = sorted({*names} - {*held})
    if not kept or not held:
        raise ValueError(f'{len(held)} of {len(names)} images are held out')
    return kept, held


def _last_of_groups(names: Sequence[str], share: float, group: str) -> list[str]:
    groups: dict[str, list[str]] = {}
    for name in sorted(names):
        found = re.match(group, name)
        groups.setdefault(found[0] if found else '', []).append(name)
    parts = (members[len(members) - int(share * len(members)) :] for members in groups.values())
    return sorted(name for part in parts for name in part)


def hold_out_options(cfg: Config, folder: Path, way: Mapping[str, object]) -> dict[str, object]:
    """Returns options that make a config train and validate on a split of its training set.

    Args:
        cfg: The config of a training.
        folder: Folder for the two lists of images.
        way: Arguments of :func:`hold_out`; ``listed`` is a file below the data set's root.

    Raises:
        PlanError: If the training set cannot be split.
    """
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    place, inner = 'dataset', cfg.train_dataloader.dataset
    while 'dataset' in inner:  # of a wrapper such as MultiImageMixDataset
        place, inner = f'{place}.dataset', inner.dataset
    dataset = DATASETS.build(dict(inner, pipeline=[]))
    image_dir = dataset.data_prefix['img_path']
    suffix = dataset.img_suffix or ''
    names = [
        os.path.relpath(dataset.get_data_info(i)['img_path'], image_dir)
        for i in range(len(dataset))
    ]
    names = [name[: -len(suffix)] if suffix else os.path.splitext(name)[0] for name in names]
    way = dict(way)
    if 'listed' in way:
        way['listed'] = list_from_file(os.path.join(dataset.data_root or '', way['listed']))
    try:
        kept, held = hold_out(names, **way)
    except ValueError as error:
        raise PlanError(f'{image_dir}: {error}') from error
    options = {}
    for stage, chosen in (('train', kept), ('val', held)):
        path = folder.resolve() / f'{stage}.txt'
        write_atomically(path, ''.join(f'{name}\n' for name in chosen).encode())
        of = place if stage == 'train' else 'dataset'
        options[f'{stage}_dataloader.{of}.ann_file'] = str(path)
    for key, prefix in inner.data_prefix.items():
        options[f'val_dataloader.dataset.data_prefix.{key}'] = prefix
    return options
