"""What a run says of files that are damaged, hostile or of something else."""

from collections.abc import Iterator
from contextlib import contextmanager

from ..command_line import ToolError, first_line
from ..datasets import BadFileError
from ..datasets.statistics import BadLabelsError, StaleStatisticsError
from ..losses.class_values import ClassValuesError

_OF_FILES = (BadFileError, BadLabelsError, StaleStatisticsError, ClassValuesError)


@contextmanager
def one_line_file_errors() -> Iterator[None]:
    """Turns what is wrong with a label map, statistics or class weights into a :class:`ToolError`.

    Also if a worker of a DataLoader has found it, whose traceback is left out.
    """
    try:
        yield
    except _OF_FILES as error:
        raise ToolError(first_line(error)) from error
