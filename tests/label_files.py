"""Small folders of label maps in CamVid's layout, and data sets on them."""

import cv2
import numpy as np
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS

import mmseg_imbalance  # noqa: F401

CLASSES = (
    'Sky', 'Building', 'Pole', 'Road', 'Pavement', 'Tree', 'SignSymbol', 'Fence', 'Car',
    'Pedestrian', 'Bicyclist',
)  # fmt: skip
LOADER = dict(type='LoadAnnotations')


def write_labels(root, count=4, seed=0, folder='train', values=(0, 1, 3, 8, 10, 255)):
    """Writes random label maps of different sizes; returns them by their key."""
    rng = np.random.default_rng(seed)
    labels = {}
    for i in range(count):
        label = rng.choice(values, size=(6 + i, 9)).astype(np.uint8)
        labels[f'labels/{folder}/frame {i}.png'] = label
        for kind, array in (('labels', label), ('images', np.zeros((*label.shape, 3), np.uint8))):
            path = root / kind / folder / f'frame {i}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(cv2.imencode('.png', array)[1].tobytes())
    return labels


def config(root, folder='train', pipeline=(LOADER,), serialize_data=False, **settings):
    """A data set's config; without serialisation, which collects garbage at every building."""
    prefix = dict(img_path=f'images/{folder}', seg_map_path=f'labels/{folder}')
    return dict(
        type='CamVidDataset',
        data_root=str(root),
        data_prefix=prefix,
        pipeline=list(pipeline),
        serialize_data=serialize_data,
        **settings,
    )


def build(cfg):
    init_default_scope('mmseg')
    return DATASETS.build(cfg)
