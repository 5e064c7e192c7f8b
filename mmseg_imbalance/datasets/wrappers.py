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
    if hasattr(dataset, 'datasets'):
        return [plain for part in dataset.datasets for plain in plain_datasets(part)]
    return plain_datasets(dataset.dataset) if hasattr(dataset, 'dataset') else [dataset]


def transforms_of(dataset) -> Iterator:
    """Yields the transforms of a data set and of its wrappers, also those inside other ones."""
    for part in (*getattr(dataset, 'datasets', ()), getattr(dataset, 'dataset', None)):
        if part is not None:
            yield from transforms_of(part)
    pipeline = getattr(dataset, 'pipeline', ())
    yield from _flat(getattr(pipeline, 'transforms', pipeline))


def _flat(transforms) -> Iterator:
    for transform in transforms:
        if isinstance(transform, list | tuple):  # a choice of RandomChoice
            yield from _flat(transform)
            continue
        yield transform
        inner = getattr(transform, 'transforms', ())
        yield from _flat(getattr(inner, 'transforms', inner))


def image_folder(dataset) -> str:
    """Returns the folder above all images of a plain or wrapped data set."""
    folders = [plain.data_prefix['img_path'] for plain in plain_datasets(dataset)]
    return folders[0] if len(folders) == 1 else os.path.commonpath(map(os.path.abspath, folders))
