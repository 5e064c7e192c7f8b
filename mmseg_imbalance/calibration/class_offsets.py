"""The file of class offsets."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path

import numpy as np
import torch

from ..utils.command_line import first_line
from ..utils.errors import BadFileError
from ..utils.files import read_bytes, write_atomically

_MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class ClassOffsets:
    """What is added to the logits of every class before the arg-max.

    Args:
        classes (Sequence[str]): C names.
        offsets (Sequence[float]): C finite numbers, in units of the logits.
        origin (dict): Where they come from: data, settings and scores, as JSON holds them.

    Raises:
        ValueError: If the two do not fit together or are of another kind.

    Example:
        >>> found = ClassOffsets(['road', 'pole'], [-0.5, 0.5])
        >>> found.add_to(np.array([[2.0, 1.5]])).argmax(1)
        array([1])
    """

    classes: Sequence[str]
    offsets: Sequence[float]
    origin: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        names, values = self.classes, self.offsets
        if not (isinstance(names, list | tuple) and all(isinstance(c, str) for c in names)):
            raise ValueError(f'classes must be a list of names, got {str(names)[:80]}')
        if not (isinstance(values, list | tuple) and len(values) == len(set(names)) == len(names)):
            raise ValueError('offsets must be a list with one number for each of different classes')
        for name, value in zip(names, values, strict=True):
            if isinstance(value, bool) or not isinstance(value, Real) or not abs(value) < 1e6:
                raise ValueError(f'the offset of {name} is {str(value)[:80]}, no number below 1e6')

    def add_to(self, logits, axis: int = 1):
        """Returns logits, an array or a tensor whose ``axis`` has the classes, with the offsets.

        The result is at least as precise as float32: half precision would round the offsets away.

        Raises:
            ValueError: If the axis has another size, such as the one channel of a binary network.
        """
        if logits.shape[axis] != len(self.offsets):
            raise ValueError(
                f'axis {axis} of the logits {tuple(logits.shape)} does not have the '
                f'{len(self.offsets)} classes of the offsets'
            )
        shape = [1] * logits.ndim
        shape[axis] = len(self.offsets)
        offsets = np.reshape(np.array(self.offsets, np.float32), shape)
        if isinstance(logits, np.ndarray):
            return logits + offsets
        return logits + torch.as_tensor(offsets, device=logits.device)

    def save(self, path: str | Path) -> None:
        """Writes the file as JSON, completely or not at all."""
        content = dict(classes=list(self.classes), offsets=list(self.offsets), **self.origin)
        text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
        write_atomically(Path(path), f'{text}\n'.encode())

    @classmethod
    def load(cls, path: str | Path) -> 'ClassOffsets':
        """Reads what :meth:`save` wrote.

        Raises:
            BadFileError: If the file is missing, damaged or of another kind; names it.
        """
        try:
            content = json.loads(read_bytes(Path(path), _MAX_BYTES))
            if not isinstance(content, dict) or not {'classes', 'offsets'} <= content.keys():
                raise ValueError('no JSON object with classes and offsets')
            return cls(content.pop('classes'), content.pop('offsets'), content)
        except Exception as error:  # parsers raise almost anything, such as RecursionError
            reason = error.strerror if isinstance(error, OSError) else first_line(error)
            raise BadFileError(
                f'{path}: cannot read the class offsets ({reason}); make them with '
                'tools/analysis_tools/calibrate_classes.py'
            ) from error
