"""Reading checkpoints without running code that is in them.

A checkpoint is a pickle, which can name any function of any module and have it called. PyTorch's
``weights_only=True`` refuses all but tensors and plain containers; the checkpoints of MMEngine hold
a few harmless things more, the history of the logged values above all, which are allowed here.
"""

import os
import pickle
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

from .command_line import first_line
from .errors import ToolError

TRUST = 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'
"""The environment variable by which a user trusts all files that are loaded."""
_REFUSE = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD'
_STATISTICS = ('min', 'max', 'current', 'mean')  # of a HistoryBuffer, its own methods
_ZIP = b'PK\x03\x04'
_NUMBERS = '?bBhHiIlLqQefd'  # NumPy's codes of what a checkpoint may hold
_FORKS_LIST = 'get_torch_safe_globals'
# 2.4 has add_safe_globals, but makes no objects of the classes that are allowed.
_CAN_TELL = hasattr(torch.serialization, 'safe_globals')


class CheckpointError(ToolError):
    """A checkpoint cannot be used; the message names it and says why, in one line."""


class DamagedCheckpointError(CheckpointError):
    """A checkpoint that is missing, cut off, or no checkpoint at all."""


def allow_checkpoint_types() -> None:
    """Allows what MMEngine's checkpoints hold to ``torch.load(…, weights_only=True)``.

    Done when the package is imported. It is without effect before PyTorch 2.5, which cannot do it.
    """
    if _CAN_TELL:
        torch.serialization.add_safe_globals(_HARMLESS)


def trusted() -> bool:
    """Whether the user trusts all files, by ``TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1``."""
    return os.environ.get(TRUST, '0').lower() in ('1', 'y', 'yes', 'true')


@contextmanager
def harmless_loads() -> Iterator[None]:
    """Has every ``torch.load`` refuse what could run code, whatever it is told.

    The fork's runner allows the true ``getattr``, with which a file can run code, and loads what
    was refused once more, without the check. Nothing changes where the user trusts all files.
    Before PyTorch 2.5, what is more than tensors and plain containers is refused.
    """
    if trusted():
        yield
        return
    from mmengine.runner import checkpoint as mmengine_checkpoint  # late: it takes a second

    before, forks_list = os.environ.get(_REFUSE), getattr(mmengine_checkpoint, _FORKS_LIST, None)
    os.environ[_REFUSE] = '1'
    if forks_list is not None:  # upstream has none
        setattr(mmengine_checkpoint, _FORKS_LIST, list)
    allow_checkpoint_types()  # anew: an earlier load of the fork's has taken some back
    try:
        yield
    finally:
        if forks_list is not None:
            setattr(mmengine_checkpoint, _FORKS_LIST, forks_list)
        os.environ.pop(_REFUSE, None)
        if before is not None:
            os.environ[_REFUSE] = before


def check_checkpoint(checkpoint: str) -> None:
    """Makes sure that a checkpoint is there, whole and harmless, unless it is a URL.

    Raises:
        CheckpointError: As :func:`read_checkpoint` does.
    """
    if '://' not in checkpoint:
        read_checkpoint(checkpoint)


def read_checkpoint(path: str | Path) -> dict:
    """Reads a checkpoint and runs no code that is in it, unless the user trusts all files.

    The content of every part is compared with its check sum, where the file has such, which
    PyTorch does not look at.

    Args:
        path: The file.

    Returns:
        What it holds, on the CPU; tensors stay in the file until they are used.

    Raises:
        DamagedCheckpointError: There is no such file, or it cannot be read.
        CheckpointError: It holds what could run code, or something else than a checkpoint; or
            PyTorch is older than 2.5, which cannot tell.
    """
    path = Path(os.path.expanduser(path))
    damage = _damage(path)
    if damage:
        raise DamagedCheckpointError(damage)
    allow_checkpoint_types()  # anew: a load of the fork's takes its own list back
    safe = not trusted()
    if safe:
        _check_readable(path)
    try:
        content = torch.load(path, 'cpu', weights_only=safe, mmap=_starts_with(path, _ZIP) or None)
    except Exception as error:  # damaged pickles raise almost anything
        raise _refusal(path, error) from error
    weights = content.get('state_dict', content) if isinstance(content, dict) else None
    if not isinstance(weights, dict) or not all(isinstance(name, str) for name in weights):
        raise CheckpointError(f'{path} is no checkpoint: it holds no weights by name')
    return content


def _check_readable(path: Path) -> None:
    """Refuses everything where PyTorch cannot tell whether it runs code."""
    if not _CAN_TELL:
        raise CheckpointError(
            f'checkpoint {path} could run code when it is loaded, which PyTorch {torch.__version__}'
            ' cannot tell: use PyTorch 2.5 or newer, or, if you trust where the file comes from, '
            f'set the environment variable {TRUST}=1'
        )


def _damage(path: Path) -> str:
    """What is wrong with a file, without a look at what is pickled in it; '' if nothing is."""
    try:
        if not path.is_file():
            return f'checkpoint not found: {path}'
        if path.stat().st_size == 0:
            return f'checkpoint {path} is damaged: it is empty'
        if not _starts_with(path, _ZIP):  # PyTorch's format before 1.6, which has no check sums
            return ''
    except OSError as error:
        return f'checkpoint {str(path)[:200]} cannot be read: {error.strerror}'
    try:
        with zipfile.ZipFile(path) as archive:
            with_sums = any(part.CRC for part in archive.infolist())  # torch.save can do without
            part = archive.testzip() if with_sums else None
    except Exception as error:  # of many types
        return f'checkpoint {path} is damaged or cut off: {first_line(error)}'
    return f'checkpoint {path} is damaged: the check sum of {part} is wrong' if part else ''


def _starts_with(path: Path, magic: bytes) -> bool:
    with path.open('rb') as file:
        return file.read(len(magic)) == magic


def _refusal(path: Path, error: Exception) -> CheckpointError:
    """The error for what PyTorch says of a file that it does not load."""
    found = re.search(r'GLOBAL ([\w.]+)', str(error))
    if isinstance(error, pickle.UnpicklingError) and found:
        return CheckpointError(
            f'checkpoint {path} holds {found[1]}, which could run code when it is loaded; if you '
            f'trust where the file comes from, set the environment variable {TRUST}=1'
        )
    found = re.search(r'WeightsUnpickler error:\s*(.+)', str(error))
    reason = found[1] if found else f'PyTorch cannot read it ({type(error).__name__})'
    return DamagedCheckpointError(f'checkpoint {path} is damaged or no checkpoint: {reason}')


def _statistic(owner: type, name: str) -> Callable:
    """The ``getattr`` of a checkpoint: a HistoryBuffer is saved with references to its methods.

    The true one would give out what belongs to no checkpoint, such as the globals of a function.
    """
    if owner is not HistoryBuffer or name not in _STATISTICS:
        raise pickle.UnpicklingError(f'GLOBAL getattr of {owner!r} and {name!r}')
    return getattr(owner, name)


def _dtype(code: str, *_) -> np.dtype:
    """The ``numpy.dtype`` of a checkpoint: of plain numbers, and the one that NumPy itself uses.

    That one stays as it is, whatever state it is given; of another, a file could set the size to
    less than nothing, or have numbers taken for pointers.
    """
    if code not in _CODES:
        raise pickle.UnpicklingError(f'GLOBAL numpy.dtype of {code!r}')
    return np.dtype(code)


def _named(function: Callable, path: str) -> Callable:
    """A function that a pickle finds under a name; the form of it that PyTorch 2.5 knows too."""

    def call(*args):
        return function(*args)

    call.__module__, call.__name__ = path.rsplit('.', 1)
    call.__qualname__ = call.__name__
    return call


def _harmless() -> list:
    """All that a checkpoint of MMEngine holds beside what PyTorch itself allows."""
    scalar, array = np.float64(0).__reduce__()[0], np.zeros(1).__reduce__()[0]
    numpy = ('numpy._core.multiarray', 'numpy.core.multiarray')  # of NumPy 2 and 1
    return [
        HistoryBuffer,
        np.ndarray,
        _named(_dtype, 'numpy.dtype'),
        *{type(np.dtype(code)) for code in _NUMBERS},
        *(_named(scalar, f'{module}.scalar') for module in numpy),
        *(_named(array, f'{module}._reconstruct') for module in numpy),
        _named(bytes, 'builtins.bytes'),
        _named(set, 'builtins.set'),
        _named(_statistic, 'builtins.getattr'),
    ]


_CODES = frozenset(_NUMBERS) | {np.dtype(code).str[1:] for code in _NUMBERS}
_HARMLESS = _harmless()
allow_checkpoint_types()
