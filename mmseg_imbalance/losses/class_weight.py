"""Class weights from a list or a file."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml

from ..datasets.statistics import METHODS

_SUFFIXES = ('.npy', '.json', '.yaml', '.yml')


def load_class_weight(class_weight: Sequence[float] | str | None) -> list[float] | None:
    """Reads and checks class weights.

    Args:
        class_weight: One weight per class, or the path of a ``.npy``, ``.json`` or ``.yaml`` file
            that holds such a list, or None. Pickles are refused: they run code when read.

    Returns:
        The weights, finite and ≥ 0, or None.

    Raises:
        ValueError: Names the file and what is wrong with it or with a weight.

    Example:
        >>> load_class_weight([1, 0.5])
        [1.0, 0.5]
    """
    if class_weight is None:
        return None
    source = 'class_weight'
    if isinstance(class_weight, (str, Path)):
        source = f'class_weight file {class_weight}'
        class_weight = _read(Path(class_weight), source)
    try:
        weights = np.asarray(class_weight, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f'{source} must be a list of numbers, got {class_weight!r}') from error
    if weights.ndim != 1 or weights.size == 0:
        raise ValueError(f'{source} must be a list of one number per class, got {class_weight!r}')
    for index, value in enumerate(weights):
        if not (np.isfinite(value) and value >= 0):
            raise ValueError(
                f'{source}: the weight of class {index} is {value}, not finite and ≥ 0'
            )
    return weights.tolist()


def _read(path: Path, source: str):
    if path.suffix not in _SUFFIXES:
        raise ValueError(
            f'{source} must be one of {", ".join(_SUFFIXES)} (pickles are refused), or in place of '
            f'a file the name of a method: {", ".join(METHODS)}'
        )
    if not path.is_file():
        raise ValueError(f'{source} does not exist')
    try:
        if path.suffix == '.npy':
            return np.load(path, allow_pickle=False)
        text = path.read_text(encoding='utf-8')
        return json.loads(text) if path.suffix == '.json' else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ValueError(f'{source} cannot be read: {error}') from error
