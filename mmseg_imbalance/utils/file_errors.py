"""What a run says of files that are damaged, hostile or of something else."""

from collections.abc import Iterator
from contextlib import contextmanager

from .command_line import first_line
from .errors import FileError, ToolError


@contextmanager
def one_line_file_errors() -> Iterator[None]:
    """Turns what is wrong with a label map, statistics or class weights into a :class:`ToolError`.

    Also if a worker of a DataLoader has found it, whose traceback is left out.
    """
    try:
        yield
    except FileError as error:
        raise ToolError(first_line(error)) from error
