"""Which errors of a tool are one line."""

from urllib.error import URLError

import pytest

from mmseg_imbalance.utils.errors import FileError, ToolError
from mmseg_imbalance.utils.file_errors import one_line_file_errors


@pytest.mark.parametrize(
    ('error', 'message'),
    [
        (FileError('a.png: damaged\nin detail'), '^a.png: damaged$'),
        (FileNotFoundError('weights.pth can not be found.'), '^weights.pth can not be found.$'),
        (FileNotFoundError(2, 'No such file or directory', 'a.png'), "directory: 'a.png'$"),
        (FileExistsError(17, 'File exists', 'work_dirs/a'), "File exists: 'work_dirs/a'$"),
        (NotADirectoryError(20, 'Not a directory', 'a/b'), "Not a directory: 'a/b'$"),
        (PermissionError(13, 'Permission denied', '/a'), "Permission denied: '/a'$"),
        (URLError('no route'), r'^cannot download \(no route\); if it was weights, name a file'),
    ],
)
def test_errors_of_files(error, message):
    with pytest.raises(ToolError, match=message), one_line_file_errors():
        raise error


def test_other_errors_pass_through():
    with pytest.raises(RuntimeError, match='other'), one_line_file_errors():
        raise RuntimeError('other')
