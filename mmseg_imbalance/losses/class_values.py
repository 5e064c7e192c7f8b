"""One number per class, from a list or a file."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml

SUFFIXES = ('.npy', '.json', '.yaml', '.yml')


def load_class_values(values: Sequence[float] | str, name: str) -> list[float]:
    """Reads and checks one number per class.

    Args:
        values: The numbers, or the path of a ``.npy``, ``.json`` or ``.yaml`` file that holds such
            a list. Pickles are refused: they run code when read.
        name: What they are, for errors.

    Returns:
        The numbers, finite and ≥ 0.

    Raises:
        ValueError: Names the file and what is wrong with it or with a number.

    Example:
        >>> load_class_values([1, 0.5], 'prior')
        [1.0, 0.5]
    """
    source = name
    if isinstance(values, (str, Path)):
        source = f'{name} file {values}'
        values = _read(Path(values), source)
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f'{source} must be a list of numbers, got {values!r}') from error
    if numbers.ndim != 1 or numbers.size == 0:
        raise ValueError(f'{source} must be a list of one number per class, got {values!r}')
    for index, value in enumerate(numbers):
        if not (np.isfinite(value) and value >= 0):
            raise ValueError(f'{source}: that of class {index} is {value}, not finite and ≥ 0')
    return numbers.tolist()


def _read(path: Path, source: str):
    if path.suffix not in SUFFIXES:
        raise ValueError(f'{source} must be one of {", ".join(SUFFIXES)} (pickles are refused)')
    if not path.is_file():
        raise ValueError(f'{source} does not exist')
    try:
        if path.suffix == '.npy':
            return np.load(path, allow_pickle=False)
        text = path.read_text(encoding='utf-8')
        return json.loads(text) if path.suffix == '.json' else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ValueError(f'{source} cannot be read: {error}') from error
