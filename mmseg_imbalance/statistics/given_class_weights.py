"""Class weights from a list, a file or the name of a method."""

from collections.abc import Sequence
from pathlib import Path

import torch

from .class_values import SUFFIXES, ClassValuesError, load_class_values, source_of
from .class_weights import METHODS

_LARGEST = torch.finfo(torch.float32).max


def names_a_method(class_weight: Sequence[float] | str | None) -> bool:
    """Whether class weights have to be computed from class statistics.

    Example:
        >>> names_a_method('median_frequency'), names_a_method('weights.json')
        (True, False)
    """
    return isinstance(class_weight, str) and class_weight in METHODS


def load_class_weight(class_weight: Sequence[float] | str | None) -> list[float] | None:
    """Reads and checks given class weights.

    Args:
        class_weight: As in :func:`load_class_values`, or None.

    Returns:
        The weights, ≥ 0 and finite in single precision, or None.

    Raises:
        ClassValuesError: If the file or a weight is invalid; names the file and says why.

    Example:
        >>> load_class_weight([1, 0.5])
        [1.0, 0.5]
    """
    if isinstance(class_weight, str) and not Path(class_weight).suffix:
        raise ClassValuesError(
            f'class_weight {class_weight!r} is neither a {", ".join(SUFFIXES)} file nor the name '
            f'of a method; those are {", ".join(METHODS)}'
        )
    if class_weight is None:
        return None
    weights = load_class_values(class_weight, 'class_weight')
    if max(weights) > _LARGEST:
        raise ClassValuesError(
            f'{source_of(class_weight, "class_weight")}: that of class '
            f'{weights.index(max(weights))} is {max(weights)}, which is infinite in single '
            'precision'
        )
    return weights
