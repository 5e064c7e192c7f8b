"""Losses, statistics, sampling, scores and configs for segmentation on long-tailed data.

``custom_imports = dict(imports=['mmseg_imbalance'])`` in a config registers all classes of this
package with MMSegmentation 1.x, whose registries import them at the first look-up. Without
MMSegmentation, ``ops``, ``losses``, ``statistics``, ``sampling``, ``evaluation`` and
``calibration`` work with PyTorch alone.
"""

from importlib import import_module

from .registry import announce
from .utils.shipped import config_path
from .version import __version__

_ROOMS = (
    'calibration',
    'datasets',
    'evaluation',
    'hooks',
    'losses',
    'ops',
    'sampling',
    'statistics',
    'utils',
    'weighting',
)

__all__ = ['__version__', 'config_path', *_ROOMS]


def __getattr__(name: str):
    """Imports a subpackage when it is first used."""
    if name in _ROOMS:
        return import_module(f'{__name__}.{name}')
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


announce()
