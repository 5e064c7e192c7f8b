"""One-line errors for files that are damaged, hostile, of the wrong kind or out of reach."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.error import URLError

from .command_line import first_line
from .errors import FileError, ToolError

_OUT_OF_REACH = (
    FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError,
)  # fmt: skip


@contextmanager
def one_line_file_errors() -> Iterator[None]:
    """Turns errors in label maps, class statistics or class weights into a :class:`ToolError`.

    This includes errors from DataLoader workers, without the worker's traceback, files that are
    missing, files and folders in each other's place or not permitted, data sets without images, and
    failed downloads of weights.
    """
    try:
        yield
    except (FileError, *_OUT_OF_REACH) as error:
        raise ToolError(first_line(error)) from error
    except ValueError as error:
        if not _is_empty_dataset(error):
            raise
        raise ToolError(
            'a data set is empty: its folder has no image with its img_suffix, which is .jpg '
            'unless the data set says otherwise, or its ann_file has no line'
        ) from error
    except URLError as error:
        raise ToolError(
            f'cannot download ({error.reason}); if it was weights, name a file of yours instead, '
            'those of a backbone by --cfg-options model.backbone.init_cfg.checkpoint=FILE, or '
            'train it from random weights by --cfg-options model.backbone.init_cfg=None'
        ) from error


def _is_empty_dataset(error: ValueError) -> bool:
    """Whether it is NumPy's error where MMEngine's data sets put their images into one array."""
    frames = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    return str(error) == 'need at least one array to concatenate' and '_serialize_data' in frames
