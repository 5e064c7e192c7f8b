import os

import pytest

from mmseg_imbalance import files
from mmseg_imbalance.files import write_atomically


def test_writing_replaces_at_once_and_makes_folders(tmp_path):
    path = tmp_path / 'deep' / 'er' / 'a.bin'
    write_atomically(path, b'one')
    write_atomically(path, b'two')
    assert path.read_bytes() == b'two' and os.listdir(path.parent) == ['a.bin']


@pytest.mark.parametrize('failing', ['write', 'replace'])
def test_interrupted_writing_leaves_the_old_file(tmp_path, monkeypatch, failing):
    path = tmp_path / 'a.bin'
    path.write_bytes(b'old')
    if failing == 'replace':

        def stop(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr(files.os, 'replace', stop)
        with pytest.raises(KeyboardInterrupt):
            write_atomically(path, b'new')
    else:

        def half(temporary):
            temporary.write_bytes(b'ne')
            raise OSError('disk full')

        with pytest.raises(OSError, match='disk full'):
            files.place(path, half)
    assert path.read_bytes() == b'old' and os.listdir(tmp_path) == ['a.bin']
