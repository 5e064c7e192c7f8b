"""Where the configs that belong to the package lie, in a checkout and in an installed copy."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
# A wheel carries them inside the package; in a checkout they lie beside it.
_ROOTS = (_PACKAGE / '.mim' / 'configs', _PACKAGE.parent / 'configs')


def config_path(name: str) -> str:
    """Returns the absolute path of a shipped config, to inherit from it wherever it is installed.

    A config file cannot import this function (an import would turn it into another kind of
    config), but MMEngine evaluates ``_base_`` as an expression::

        _base_ = __import__('mmseg_imbalance').config_path('_base_/models/deeplabv3_r18-d8.py')

    Args:
        name: Path below ``configs``, such as ``'_base_/default_runtime.py'``.

    Raises:
        FileNotFoundError: There is no such config; the message lists the folder it was sought in.

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
