"""Reading checkpoints without running code that is in them.

A checkpoint is a pickle, which can name any function of any module and have it called. PyTorch's
``weights_only=True`` refuses everything except tensors and plain containers. MMEngine's checkpoints
hold a few other harmless types, mainly for the history of logged values; this module allows these.
"""

import os
import pickle
import re
import zipfile
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler

from .command_line import first_line
from .errors import ToolError

TRUST = 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'
"""The environment variable with which a user declares that all loaded files are trusted."""
_REFUSE = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD'
_STATISTICS = ('min', 'max', 'current', 'mean')  # methods of HistoryBuffer
_ANNEALING = ('_annealing_cos', '_annealing_linear')  # functions of OneCycleParamScheduler
_ZIP = b'PK\x03\x04'
_NUMBERS = '?bBhHiIlLqQefd'  # NumPy's codes of the dtypes that a checkpoint may hold
_GLOBAL = re.compile(r'GLOBAL ([\w.]+)')  # in PyTorch's error, the type that it refuses
_FORKS_LIST = 'get_torch_safe_globals'
# PyTorch 2.4 has add_safe_globals, but cannot create objects of the allowed classes.
_CAN_TELL = hasattr(torch.serialization, 'safe_globals')


class CheckpointError(ToolError):
    """Raised if a checkpoint cannot be used; the message names it and says why, in one line."""


class DamagedCheckpointError(CheckpointError):
    """Raised if a checkpoint is missing, truncated or not a checkpoint at all."""


def allow_checkpoint_types() -> None:
    """Makes ``torch.load(…, weights_only=True)`` accept the types in MMEngine's checkpoints.

    It is called when the package is imported. It has no effect in PyTorch older than 2.5.
    """
    if _CAN_TELL:
        torch.serialization.add_safe_globals(_HARMLESS)


def trusted() -> bool:
    """Whether the user has set ``TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1`` to trust all files."""
    return os.environ.get(TRUST, '0').lower() in ('1', 'y', 'yes', 'true')


@contextmanager
def harmless_loads() -> Iterator[None]:
    """Makes every ``torch.load`` refuse files that could run code, whatever its arguments.

    The runner of the MMEngine fork allows the real ``getattr``, with which a file can run code,
    and loads refused files again without the check. If the user trusts all files, nothing changes.
    PyTorch older than 2.5 refuses everything except tensors and plain containers.

    Raises:
        CheckpointError: In place of PyTorch's error for a refused file, whose advice has no effect.
    """
    if trusted():
        yield
        return
    from mmengine.runner import checkpoint as mmengine_checkpoint  # late: takes a second

    before, forks_list = os.environ.get(_REFUSE), getattr(mmengine_checkpoint, _FORKS_LIST, None)
    os.environ[_REFUSE] = '1'
    if forks_list is not None:  # upstream MMEngine has no such list
        setattr(mmengine_checkpoint, _FORKS_LIST, list)
    allow_checkpoint_types()  # again: an earlier load by the fork has revoked some types
    try:
        yield
    except pickle.UnpicklingError as error:
        found = _GLOBAL.search(str(error))
        if found is None:
            raise
        raise CheckpointError(_could_run_code('a file that was to be loaded', found[1])) from error
    finally:
        if forks_list is not None:
            setattr(mmengine_checkpoint, _FORKS_LIST, forks_list)
        os.environ.pop(_REFUSE, None)
        if before is not None:
            os.environ[_REFUSE] = before


def check_checkpoint(checkpoint: str) -> None:
    """Checks that a checkpoint exists, is complete and cannot run code, unless it is a URL.

    Raises:
        CheckpointError: As :func:`read_checkpoint` does.
    """
    if '://' not in checkpoint:
        read_checkpoint(checkpoint)


def read_checkpoint(path: str | Path) -> dict:
    """Reads a checkpoint without running code that is in it, unless the user trusts all files.

    If the file has checksums, every part of it is compared with its checksum. PyTorch does not do
    this.

    Args:
        path: The file.

    Returns:
        The content, on the CPU; tensors stay in the file until they are used.

    Raises:
        DamagedCheckpointError: If the file does not exist or cannot be read.
        CheckpointError: If the file could run code or is not a checkpoint, or if PyTorch is older
            than 2.5, which cannot tell whether it could.
    """
    path = Path(os.path.expanduser(path))
    damage = _damage(path)
    if damage:
        raise DamagedCheckpointError(damage)
    allow_checkpoint_types()  # again: a load by the fork revokes the types on its list
    safe = not trusted()
    if safe and not _CAN_TELL:
        raise CheckpointError(
            f'checkpoint {path} could run code when it is loaded, which PyTorch {torch.__version__}'
            ' cannot tell: use PyTorch 2.5 or newer, or, if you trust where the file comes from, '
            f'set the environment variable {TRUST}=1'
        )
    try:
        content = torch.load(path, 'cpu', weights_only=safe, mmap=_starts_with(path, _ZIP) or None)
    except Exception as error:  # damaged pickles raise almost anything
        raise _refusal(path, error) from error
    weights = content.get('state_dict', content) if isinstance(content, dict) else None
    if not isinstance(weights, dict) or not all(isinstance(name, str) for name in weights):
        raise CheckpointError(f'{path} is not a checkpoint: it holds no weights by name')
    return content


def _damage(path: Path) -> str:
    """Returns what is wrong with a file, without unpickling it; '' if nothing is."""
    try:
        if path.is_dir():
            return (
                f'checkpoint {path} is a folder, and files alone are read here; if DeepSpeed wrote '
                "it, use MMSegmentation's own tools"
            )
        if not path.is_file():
            return f'checkpoint not found: {path}'
        if path.stat().st_size == 0:
            return f'checkpoint {path} is damaged: it is empty'
        if not _starts_with(path, _ZIP):  # PyTorch's format before 1.6, which has no checksums
            return ''
    except OSError as error:
        return f'checkpoint {str(path)[:200]} cannot be read: {error.strerror}'
    try:
        with zipfile.ZipFile(path) as archive:
            with_sums = any(part.CRC for part in archive.infolist())  # torch.save can omit them
            part = archive.testzip() if with_sums else None
    except Exception as error:  # damaged archives raise many types
        return f'checkpoint {path} is damaged or cut off: {first_line(error)}'
    return f'checkpoint {path} is damaged: the check sum of {part} is wrong' if part else ''


def _starts_with(path: Path, magic: bytes) -> bool:
    with path.open('rb') as file:
        return file.read(len(magic)) == magic


def _could_run_code(file: str, name: str) -> str:
    return (
        f'{file} holds {name}, which could run code when it is loaded; if you trust where the '
        f'file comes from, set the environment variable {TRUST}=1'
    )


def _refusal(path: Path, error: Exception) -> CheckpointError:
    """Turns PyTorch's error for a file that it does not load into one to show to the user."""
    found = _GLOBAL.search(str(error))
    if isinstance(error, pickle.UnpicklingError) and found:
        return CheckpointError(_could_run_code(f'checkpoint {path}', found[1]))
    found = re.search(r'WeightsUnpickler error:\s*(.+)', str(error))
    reason = found[1] if found else f'PyTorch cannot read it ({type(error).__name__})'
    return DamagedCheckpointError(f'checkpoint {path} is damaged or not a checkpoint: {reason}')


def _method(owner: object, name: str) -> Callable:
    """Replaces ``getattr`` for a checkpoint, where objects refer to methods of their own classes.

    The real ``getattr`` would give a file access to more, such as the globals of a function.
    """
    allowed = {HistoryBuffer: _STATISTICS, _ONE_CYCLE: _ANNEALING}
    if not isinstance(owner, Hashable) or name not in allowed.get(owner, ()):
        raise pickle.UnpicklingError(f'GLOBAL getattr of {owner!r} and {name!r}')
    return getattr(owner, name)


def _no_schedule(*_) -> None:
    """Stands for OneCycleParamScheduler in a checkpoint, which refers only to its functions."""
    raise pickle.UnpicklingError('GLOBAL OneCycleParamScheduler')


def _dtype(code: str, *_) -> np.dtype:
    """Replaces ``numpy.dtype`` for a checkpoint: returns only NumPy's built-in number dtypes.

    A file cannot change the state of these. In other dtypes, it could set a negative size or have
    numbers taken for pointers.
    """
    if code not in _CODES:
        raise pickle.UnpicklingError(f'GLOBAL numpy.dtype of {code!r}')
    return np.dtype(code)


def _named(function: Callable, path: str) -> Callable:
    """Wraps a function so that a pickle finds it under a name, in a form known to PyTorch 2.5."""

    def call(*args):
        return function(*args)

    call.__module__, call.__name__ = path.rsplit('.', 1)
    call.__qualname__ = call.__name__
    return call


def _harmless() -> list:
    """Lists the types in MMEngine's checkpoints that PyTorch itself does not allow."""
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
        _named(_method, 'builtins.getattr'),
        _named(dict, 'mmengine.config.config.ConfigDict'),
        _ONE_CYCLE,
    ]


_ONE_CYCLE = _named(_no_schedule, f'{OneCycleParamScheduler.__module__}.OneCycleParamScheduler')
for _name in _ANNEALING:
    setattr(_ONE_CYCLE, _name, getattr(OneCycleParamScheduler, _name))
_CODES = frozenset(_NUMBERS) | {np.dtype(code).str[1:] for code in _NUMBERS}
_HARMLESS = _harmless()
allow_checkpoint_types()
