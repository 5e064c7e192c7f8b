"""Losses, data sets and configs for semantic segmentation on long-tailed data.

``custom_imports = dict(imports=['mmseg_imbalance'])`` in a config registers everything below in
the registries of MMSegmentation 1.x.
"""

from .stack import check_stack

check_stack()

from . import datasets, engine, evaluation, losses  # noqa: E402
from .shipped import config_path  # noqa: E402
from .version import __version__  # noqa: E402

__all__ = ['__version__', 'config_path', 'datasets', 'engine', 'evaluation', 'losses']
