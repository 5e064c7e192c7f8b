"""Looks through the wrappers of data sets, such as concatenation and repetition."""

import os
from collections.abc import Iterator


def plain_datasets(dataset) -> list:
    """Returns the data sets inside the wrappers of MMEngine and MMSegmentation, nested or not.

    Args:
        dataset: A plain or wrapped data set.

    Example:
        >>> from mmengine.dataset import RepeatDataset
        >>> from mmseg.datasets import BaseSegDataset
        >>> plain = BaseSegDataset(lazy_init=True)
        >>> plain_datasets(RepeatDataset(plain, 2, lazy_init=True)) == [plain]
        True
    """
    return [plain for part in _parts(dataset) for plain in plain_datasets(part)] or [dataset]


def transforms_of(dataset) -> Iterator:
    """Yields the transforms of a data set and of its wrappers, also those inside other ones."""
    for part in _parts(dataset):
        yield from transforms_of(part)
    yield from inside(getattr(dataset, 'pipeline', None))


def _parts(dataset) -> list:
    parts = [*(getattr(dataset, 'datasets', None) or []), getattr(dataset, 'dataset', None)]
    return [part for part in parts if hasattr(part, 'metainfo')]  # and is no name or the like


def inside(pipeline) -> Iterator:
    """Yields the transforms in a list, or in what has a list of them, such as RandomApply."""
    transforms = getattr(pipeline, 'transforms', getattr(pipeline, 'subroutines', pipeline))
    if isinstance(transforms, list | tuple):
        for transform in transforms:
            if isinstance(transform, dict):  # Albu has a list of settings for another library
                continue
            if not isinstance(transform, list | tuple):
                yield transform
            yield from inside(transform)
    elif transforms is not pipeline:
        yield from inside(transforms)


def image_folder(dataset) -> str:
    """Returns the folder above all images of a plain or wrapped data set."""
    folders = [plain.data_prefix['img_path'] for plain in plain_datasets(dataset)]
    return folders[0] if len(folders) == 1 else os.path.commonpath(map(os.path.abspath, folders))
