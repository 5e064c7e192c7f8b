"""One-line errors for files that are damaged, hostile or of the wrong kind."""

from collections.abc import Iterator
from contextlib import contextmanager

from .command_line import first_line
from .errors import FileError, ToolError


@contextmanager
def one_line_file_errors() -> Iterator[None]:
    """Turns errors in label maps, class statistics or class weights into a :class:`ToolError`.

    This includes errors from DataLoader workers, without the worker's traceback.
    """
    try:
        yield
    except FileError as error:
        raise ToolError(first_line(error)) from error
