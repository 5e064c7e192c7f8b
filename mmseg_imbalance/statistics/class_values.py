"""One number per class, from a list or a file."""

import json
import math
from collections.abc import Sequence
from numbers import Real
from pathlib import Path

import numpy as np
import torch

from ..utils.command_line import first_line
from ..utils.errors import FileError
from ..utils.files import read_array, read_bytes
from .class_weights import METHODS, SUFFIXES

_WANTED = 'must be a list of numbers, one number per class'
_LARGEST = torch.finfo(torch.float32).max
_MAX_BYTES = 1 << 20  # of a file: no data set has that many classes


class ClassValuesError(FileError):
    """Numbers per class cannot be used; the message names the file and says why."""


def load_class_values(values: Sequence[float] | str, name: str) -> list[float]:
    """Reads and checks one number per class.

    Args:
        values: The numbers, also as an array or a tensor, or the path of a ``.npy``, ``.json`` or
            ``.yaml`` file that holds such a list. Pickles are refused: they run code when read.
        name: Name of the numbers, for errors.

    Returns:
        The numbers, finite and ≥ 0.

    Raises:
        ClassValuesError: If the file or a number is invalid; names the file and says why.

    Example:
        >>> load_class_values([1, 0.5], 'prior')
        [1.0, 0.5]
    """
    source = source_of(values, name)
    if isinstance(values, (str, Path)):
        values = _read(Path(values), source)
    if hasattr(values, 'tolist'):  # an array or a tensor
        values = values.tolist()
    if not isinstance(values, Sequence) or isinstance(values, str) or not values:
        raise ClassValuesError(f'{source} {_WANTED}, got {_brief(values)}')
    return [_number(value, index, source) for index, value in enumerate(values)]


def load_class_weight(class_weight: Sequence[float] | str | None) -> list[float] | None:
    """Reads and checks given class weights, as :func:`load_class_values` does; None stays None.

    Returns:
        The weights, ≥ 0 and finite in single precision, or None.

    Raises:
        ClassValuesError: If the file or a weight is invalid; names the file and says why.
    """
    if class_weight is None:
        return None
    if isinstance(class_weight, str) and not Path(class_weight).suffix:
        raise ClassValuesError(
            f'class_weight {class_weight!r} is neither a {", ".join(SUFFIXES)} file nor the name '
            f'of a method; those are {", ".join(METHODS)}'
        )
    weights = load_class_values(class_weight, 'class_weight')
    if max(weights) > _LARGEST:
        raise ClassValuesError(
            f'{source_of(class_weight, "class_weight")}: that of class '
            f'{weights.index(max(weights))} is {max(weights)}, which is infinite in single '
            'precision'
        )
    return weights


def source_of(values: Sequence[float] | str | None, name: str) -> str:
    """Returns the name of numbers per class for errors, with their file if any.

    Example:
        >>> source_of('weights.json', 'class_weight'), source_of([1, 0.5], 'class_weight')
        ('class_weight file weights.json', 'class_weight')
    """
    return f'{name} file {values}' if isinstance(values, str | Path) else name


def _number(value: object, index: int, source: str) -> float:
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        raise ClassValuesError(f'{source} {_WANTED}; that of class {index} is {_brief(value)}')
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not 0 <= number < math.inf:
        raise ClassValuesError(f'{source}: that of class {index} is {number}, not finite and ≥ 0')
    return number


def _brief(value: object) -> str:
    # never a list's text: a few bytes of YAML can stand for a list of billions of entries
    if value is None or isinstance(value, str | bool | Real):
        return repr(value)[:80]
    return f'a {type(value).__name__}' + (' without entries' if not value else '')


def _read(path: Path, source: str):
    if path.suffix not in SUFFIXES:
        raise ClassValuesError(
            f'{source} must be one of {", ".join(SUFFIXES)} (pickles are refused)'
        )
    try:
        if path.suffix == '.npy':
            return read_array(path)
        text = read_bytes(path, _MAX_BYTES).decode()
        return json.loads(text) if path.suffix == '.json' else _parse_yaml(text)
    except FileNotFoundError:
        raise ClassValuesError(f'{source} does not exist') from None
    except OSError as error:
        raise ClassValuesError(f'{source} cannot be read: {error.strerror}') from error
    except Exception as error:  # parsers raise almost anything, such as RecursionError
        raise ClassValuesError(f'{source} cannot be read: {first_line(error)}') from error


def _parse_yaml(text: str):
    import yaml  # imported late: optional without MMSegmentation

    return yaml.safe_load(text)
