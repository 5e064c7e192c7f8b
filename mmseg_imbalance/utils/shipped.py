"""Paths of the configs that belong to the package, in a checkout or an installed copy."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
# In a wheel they are inside the package; in a checkout they are beside it.
_ROOTS = (_PACKAGE / '.mim' / 'configs', _PACKAGE.parent / 'configs')


def config_path(name: str) -> str:
    """Returns the absolute path of a shipped config, so that a config anywhere can inherit from it.

    A config file cannot import this function (an import would turn it into another kind of
    config), but MMEngine evaluates ``_base_`` as an expression::

        _base_ = __import__('mmseg_imbalance').config_path('_base_/models/deeplabv3_r18-d8.py')

    Args:
        name: Path below ``configs``, such as ``'_base_/default_runtime.py'``.

    Raises:
        FileNotFoundError: If there is no such config; the message lists the configs in its folder.

    Example:
        >>> config_path('_base_/default_runtime.py').endswith('default_runtime.py')
        True
    """
    root = next((root for root in _ROOTS if root.is_dir()), _ROOTS[0])
    path = root / name
    if not path.is_file():
        there = sorted(p.name for p in path.parent.glob('*.py')) or ['nothing']
        raise FileNotFoundError(
            f'no config {name!r} below {root}; in its folder: {", ".join(there)}'
        )
    return str(path)
