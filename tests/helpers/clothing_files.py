"""Photographs and label maps in the layout of the Clothing Co-Parsing repository."""

import numpy as np
from scipy.io import savemat
from synthia_files import write_image

from mmseg_imbalance.datasets.clothing import ClothingDataset

LABELS = ['null', *ClothingDataset.METAINFO['classes'][1:], 'bra', 'wedges']  # the last two rare


def write_clothing(root, label_maps):
    """Writes ``label_maps`` {number: (H, W) ids} with photographs of their sizes."""
    folder = root / 'annotations' / 'pixel-level'
    folder.mkdir(parents=True)
    cells = np.array([LABELS], dtype=object)
    savemat(root / 'label_list.mat', dict(label_list=cells))
    for number, label in label_maps.items():
        label = np.asarray(label, np.uint8)
        savemat(folder / f'{number:04d}.mat', dict(groundtruth=label))
        write_image(root / f'photos/{number:04d}.jpg', *label.shape)
