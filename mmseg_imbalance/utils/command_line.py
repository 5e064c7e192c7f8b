"""Error handling and shared arguments of the command-line tools."""

import argparse
import io
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .cores import usable_cores
from .errors import FileError, ToolError

_CLASS_OF_ERROR = re.compile(r'^[\w.]+(Error|Exception): ')


# of PyTorch on a CPU, on a GPU, of the system, and of a data loader whose worker it has killed
_NO_MEMORY = (
    "can't allocate memory",
    'out of memory',
    'Cannot allocate memory',
    'killed by signal: Killed',
)


@contextmanager
def one_line_errors(way_on: str, less_memory: str) -> Iterator[None]:
    """Turns what may end a run into one line and an exit code; other errors pass through.

    Args:
        way_on: How to go on after an interrupt.
        less_memory: What takes less memory, for a run that has too little.
    """
    try:
        yield
    except ToolError as error:
        sys.exit(_fail(error, error.exit_code))
    except (MemoryError, RuntimeError, OSError) as error:
        if not _is_lack_of_memory(error):
            raise
        sys.exit(_fail(f'out of memory ({first_line(error)}); try {less_memory}', 1))
    except (KeyboardInterrupt, SyntaxError) as error:
        if not _is_interrupt(error):
            raise
        print(f'{_tool()}: interrupted; {way_on}', file=sys.stderr)
        sys.exit(130)


def run_tool(main: Callable[[], int]) -> int:
    """Runs a tool's ``main`` and turns errors and interrupts into one line and an exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    # File names may not be valid text, and a terminal may not support every character.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors='backslashreplace')
    try:
        return main()
    except ToolError as error:
        return _fail(error, error.exit_code)
    except (FileError, OSError) as error:
        return _fail(error, 2)
    except KeyboardInterrupt:
        print(f'{_tool()}: interrupted; run the same command again', file=sys.stderr)
        return 130


def first_line(error: Exception) -> str:
    """Returns the first line of an error's message, or the error's class name if it has none.

    For an error from a DataLoader worker, whose message is a traceback, it is the last line.
    """
    lines = str(error).strip().splitlines() or [type(error).__name__]
    if ' in DataLoader worker process ' in lines[0]:
        return _CLASS_OF_ERROR.sub('', lines[-1])
    return lines[0]


def one_line(text: str) -> str:
    r"""Joins lines and escapes characters that a terminal would hide or take for a command.

    Example:
        >>> one_line('a  b.png:\nred \x1b[31m')
        'a  b.png: red \\x1b[31m'
    """
    joined = ' '.join(line.strip() for line in text.splitlines())
    return ''.join(c if c.isprintable() else ascii(c)[1:-1] for c in joined)


def _is_lack_of_memory(error: BaseException | None) -> bool:
    """Whether it is, or comes from, an allocation that failed or a worker that was killed."""
    while error is not None:
        if isinstance(error, MemoryError) or any(known in str(error) for known in _NO_MEMORY):
            return True
        error = error.__cause__
    return False


def _is_interrupt(error: BaseException | None) -> bool:
    """Whether it is an interrupt, or what MMEngine makes of one while it formats a config."""
    if isinstance(error, SyntaxError):
        return _is_interrupt(error.__context__)
    return isinstance(error, KeyboardInterrupt)


def _fail(error: Exception | str, exit_code: int) -> int:
    print(f'{_tool()}: error: {one_line(str(error))}', file=sys.stderr)
    return exit_code


def _tool() -> str:
    return Path(sys.argv[0]).name


def add_nproc(parser: argparse.ArgumentParser) -> None:
    """Adds the option ``--nproc``."""
    parser.add_argument(
        '--nproc',
        type=whole_number(minimum=1),
        default=usable_cores(),
        metavar='N',
        help='number of worker processes (default: one per CPU core, here %(default)s)',
    )


def add_seed(parser: argparse.ArgumentParser, of: str) -> None:
    """Adds the option ``--seed``; ``of`` says in words what it seeds."""
    parser.add_argument(
        '--seed',
        type=whole_number(minimum=0),
        default=0,
        help=f'seed of {of} (default: %(default)s)',
    )


def whole_number(minimum: int) -> Callable[[str], int]:
    """Returns an argparse type for integers that are at least ``minimum``."""
    return number(lambda value: value >= minimum, f'>= {minimum}', int, 'whole number')


def number(
    fits: Callable[[float], bool], where: str, kind: type = float, noun: str = 'number'
) -> Callable[[str], float]:
    """Returns an argparse type for numbers that fit; ``where`` says in words which do."""

    def parse(text: str) -> float:
        with suppress(ValueError):
            value = kind(text)
            if fits(value):  # NaN fails every comparison
                return value
        raise argparse.ArgumentTypeError(f'{text!r} is not a {noun} {where}')

    return parse


ratio = number(lambda value: 0 < value < 1, 'between 0 and 1')
"""An argparse type for numbers between 0 and 1, both excluded."""
pooling_norm = number(lambda value: value >= 1, 'in [1, inf]')
"""An argparse type for ``p`` of loss max-pooling."""
pooling_ratio = number(lambda value: 0 < value <= 1, 'in (0, 1]')
"""An argparse type for ``ratio`` of loss max-pooling."""
