"""One-line errors for files that are damaged, hostile, of the wrong kind or out of reach."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.error import URLError

from .command_line import first_line
from .errors import FileError, ToolError


@contextmanager
def one_line_file_errors() -> Iterator[None]:
    """Turns errors in label maps, class statistics or class weights into a :class:`ToolError`.

    This includes errors from DataLoader workers, without the worker's traceback, files that are
    missing, and failed downloads of weights.
    """
    try:
        yield
    except (FileError, FileNotFoundError) as error:
        raise ToolError(first_line(error)) from error
    except URLError as error:
        raise ToolError(
            f'cannot download ({error.reason}); if it was weights, name a file of yours instead, '
            'those of a backbone by --cfg-options model.backbone.init_cfg.checkpoint=FILE, or '
            'train it from random weights by --cfg-options model.backbone.init_cfg=None'
        ) from error
