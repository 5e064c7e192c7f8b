"""The registries of MMSegmentation, or stand-ins where it is not installed.

Losses, statistics, sampling and scores need only PyTorch and NumPy. Without MMSegmentation, a
stand-in registry stores their classes by name.
"""

import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module, metadata
from importlib.util import find_spec

_SUPPORTED = {'mmengine': (0, 10), 'mmcv': (2, 0), 'mmseg': (1, 2)}  # minimum versions
_DISTRIBUTIONS = {  # that install each import name
    'mmengine': ('mmengine', 'onedl-mmengine'),
    'mmcv': ('mmcv', 'mmcv-lite', 'onedl-mmcv'),
    'mmseg': ('mmsegmentation', 'onedl-mmsegmentation'),
}
_WAY_OUT = (
    "install one of the two stacks, in a clone of mmseg_imbalance: pip install '.[onedl]' (the "
    "maintained fork) or '.[openmmlab]' (upstream OpenMMLab), never both"
)
# The modules that a registry has to import to know all classes of this package. mmengine imports
# them at the first look-up, so that importing the package stays fast.
_LOCATIONS = {
    'MODELS': ['mmseg_imbalance.losses', 'mmseg_imbalance.calibration'],
    'DATASETS': ['mmseg_imbalance.datasets'],
    'TRANSFORMS': ['mmseg_imbalance.sampling'],
    'DATA_SAMPLERS': ['mmseg_imbalance.sampling'],
    'METRICS': ['mmseg_imbalance.evaluation'],
    'HOOKS': ['mmseg_imbalance.hooks', 'mmseg_imbalance.sampling', 'mmseg_imbalance.weighting'],
    'OPTIM_WRAPPERS': ['mmseg_imbalance.hooks'],
}

HAS_STACK = find_spec('mmseg') is not None
"""Whether MMSegmentation is installed."""


class StandInRegistry:
    """Replaces a registry of MMSegmentation: stores classes by name and builds from configs.

    Example:
        >>> registry = StandInRegistry()
        >>> Registered = registry.register_module()(type('Registered', (dict,), {}))
        >>> registry.build(dict(type='Registered', a=1))
        {'a': 1}
    """

    def __init__(self) -> None:
        self._classes: dict[str, type] = {}

    def register_module(self) -> Callable[[type], type]:
        """Returns a decorator that registers a class and leaves it unchanged."""

        def register(cls: type) -> type:
            self._classes[cls.__name__] = cls
            return cls

        return register

    def build(self, cfg: dict) -> object:
        """Builds an object of the class ``type`` with the other entries as arguments.

        Raises:
            KeyError: If this package has no such class.
        """
        arguments = dict(cfg)
        name = arguments.pop('type')
        if name not in self._classes:
            raise KeyError(
                f'{name} is not one of {", ".join(sorted(self._classes))}; for the classes of '
                f'MMSegmentation {_WAY_OUT}'
            )
        return self._classes[name](**arguments)


def check_stack() -> None:
    """Checks that mmengine, mmcv and mmseg are installed once each, in a supported version.

    These are mmengine 0.x from 0.10, mmcv 2.x and mmseg 1.x from 1.2, of either distribution.

    Raises:
        ImportError: If one is missing, unsupported or installed twice. The one-sentence message
            names it and both extras.
    """
    for name, oldest in _SUPPORTED.items():
        installed = _installed(_DISTRIBUTIONS[name])
        if len(installed) > 1:
            raise ImportError(
                f'mmseg_imbalance finds {" and ".join(installed)} installed, which overwrite each '
                f"other's files of {name}; uninstall all of them, then {_WAY_OUT}."
            )
        if not installed and find_spec(name) is None:
            raise ImportError(f'mmseg_imbalance cannot import {name}; {_WAY_OUT}.')
        # not from the module, whose import takes longer
        (version,) = installed.values() or [import_module(name).__version__]
        found = tuple(int(part) for part in version.split('.')[:2])
        if found < oldest or found[0] != oldest[0]:
            raise ImportError(
                f'mmseg_imbalance needs {name} {oldest[0]}.x from {oldest[0]}.{oldest[1]}, '
                f'found {version}; {_WAY_OUT}.'
            )


def need_stack(room: str) -> None:
    """Checks that MMSegmentation is installed, for a part of the package that requires it.

    Args:
        room: Name of the part, for the error.

    Raises:
        ImportError: If it is not; the message names both extras.
    """
    if not HAS_STACK:
        raise ImportError(f'{room} needs MMSegmentation; {_WAY_OUT}.')


def _installed(distributions: tuple[str, ...]) -> dict[str, str]:
    """Returns the versions of those distributions that are installed."""
    versions = {}
    for each in distributions:
        with suppress(metadata.PackageNotFoundError):
            versions[each] = metadata.version(each)
    return versions


if HAS_STACK:
    check_stack()
    try:
        from mmseg.registry import DATA_SAMPLERS, MODELS
    # upstream's mmseg asserts the version of mmcv when it is imported
    except (ImportError, AssertionError) as error:
        raise ImportError(f'mmseg_imbalance cannot import mmseg ({error}); {_WAY_OUT}.') from error
else:
    DATA_SAMPLERS, MODELS = StandInRegistry(), StandInRegistry()


def announce() -> None:
    """Makes the registries of MMSegmentation import this package's classes on demand."""
    if not HAS_STACK:
        return
    of_stack = import_module('mmseg.registry')
    for name, locations in _LOCATIONS.items():
        registry = getattr(of_stack, name)
        if registry._imported:  # it has imported its locations and will not do so again
            for location in locations:
                import_module(location)
        else:
            registry._locations += [each for each in locations if each not in registry._locations]
    if 'torch' in sys.modules:  # a checkpoint may be loaded before the first look-up
        import_module('mmseg_imbalance.utils.checkpoints')
