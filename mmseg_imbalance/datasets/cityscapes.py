"""Cityscapes with a check of its files."""

from mmseg.datasets import CityscapesDataset
from mmseg.registry import DATASETS

from .label_check import CheckedFiles


@DATASETS.register_module()
class CheckedCityscapesDataset(CheckedFiles, CityscapesDataset):
    """MMSegmentation's ``CityscapesDataset`` with a check of each sample's files.

    Classes, colours, file names and arguments are those of MMSegmentation. For the check, see
    :class:`CheckedFiles`.

    Args:
        **kwargs: Arguments of mmseg's ``CityscapesDataset``.

    A config: ``configs/_base_/datasets/cityscapes.py``.
    """
