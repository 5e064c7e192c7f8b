"""Checks that a supported MMSegmentation stack is installed before anything is registered."""

from importlib import import_module, metadata

_SUPPORTED = {'mmengine': (0, 10), 'mmcv': (2, 0), 'mmseg': (1, 2)}  # from this version …
_DISTRIBUTIONS = {  # that install the files of one name
    'mmengine': ('mmengine', 'onedl-mmengine'),
    'mmcv': ('mmcv', 'mmcv-lite', 'onedl-mmcv'),
    'mmseg': ('mmsegmentation', 'onedl-mmsegmentation'),
}
_WAY_OUT = (
    "install one of the two stacks: pip install 'mmseg-imbalance[onedl]' (the maintained fork) "
    "or 'mmseg-imbalance[openmmlab]' (upstream OpenMMLab), never both"
)


def check_stack() -> None:
    """Makes sure that mmengine, mmcv and mmseg can be imported in a supported version.

    Supported are mmengine 0.x from 0.10, mmcv 2.x and mmseg 1.x from 1.2, of either distribution.

    Raises:
        ImportError: One sentence that names what is missing, unsupported or there twice, and both
            extras.
    """
    for name, oldest in _SUPPORTED.items():
        installed = [found for found in _DISTRIBUTIONS[name] if _is_installed(found)]
        if len(installed) > 1:
            raise ImportError(
                f'mmseg_imbalance finds {" and ".join(installed)} installed, which overwrite each '
                f"other's files of {name}; uninstall all of them, then {_WAY_OUT}."
            )
        try:
            version = import_module(name).__version__
        # mmseg asserts on the version of mmcv while it is imported
        except (ImportError, AssertionError) as error:
            raise ImportError(
                f'mmseg_imbalance cannot import {name} ({error}); {_WAY_OUT}.'
            ) from error
        found = tuple(int(part) for part in version.split('.')[:2])
        if found < oldest or found[0] != oldest[0]:
            raise ImportError(
                f'mmseg_imbalance needs {name} {oldest[0]}.x from {oldest[0]}.{oldest[1]}, '
                f'found {version}; {_WAY_OUT}.'
            )


def _is_installed(distribution: str) -> bool:
    try:
        metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True
