"""A data set of tiny label maps, made to measure."""

import cv2
import numpy as np
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS, TRANSFORMS

CLASSES = ('common', 'middle', 'rare', 'absent')


@DATASETS.register_module(force=True)
class TinyDataset(BaseSegDataset):
    METAINFO = dict(classes=CLASSES, palette=[[0, 0, 0]] * 4)


def write_label_maps(root, pixels, size=(8, 16)):
    """Writes an image and a label map per row; ``pixels[i][c]`` of its pixels hold class c > 0."""
    for i, counts in enumerate(pixels):
        label = np.zeros(size, np.uint8)
        classes = np.repeat(np.arange(1, len(counts) + 1), counts)
        label.reshape(-1)[: len(classes)] = classes
        image = np.stack([label * 60, np.full(size, 255 * i // len(pixels), np.uint8), label], -1)
        for folder, array in (('images', image), ('labels', label)):
            (root / folder).mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(root / folder / f'{i:05}.png'), array)


def tiny_dataset(root, transforms=(), **kwargs):
    """The data set of :func:`write_label_maps`, with transforms after loading."""
    steps = [dict(type='LoadImageFromFile'), dict(type='mmseg.LoadAnnotations'), *transforms]
    return TinyDataset(
        data_root=str(root),
        data_prefix=dict(img_path='images', seg_map_path='labels'),
        img_suffix='.png',
        seg_map_suffix='.png',
        pipeline=[TRANSFORMS.build(step) for step in steps],
        **kwargs,
    )
