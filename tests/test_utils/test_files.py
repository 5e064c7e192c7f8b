import os

import matplotlib
import pytest
from matplotlib.figure import Figure
from PIL import Image, ImageChops

from mmseg_imbalance.utils import files
from mmseg_imbalance.utils.errors import ToolError
from mmseg_imbalance.utils.files import write_atomically, write_figure


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


@pytest.mark.parametrize(
    ('name', 'start'),
    [('a', b'\x89PNG'), ('a.PNG', b'\x89PNG'), ('a.pdf', b'%PDF'), ('a.svg', b'<?xml')],
)
def test_the_suffix_of_a_figure_says_its_format(tmp_path, name, start):
    write_figure(tmp_path / name, Figure())
    assert (tmp_path / name).read_bytes().startswith(start)


def test_an_unknown_suffix_of_a_figure_is_refused(tmp_path):
    with pytest.raises(ToolError, match=r'a\.npz cannot be a figure: its suffix can be .*\.pdf, '):
        write_figure(tmp_path / 'a.npz', Figure())
    assert not os.listdir(tmp_path)


def log_axes():
    figure = Figure()
    axes = figure.subplots()
    axes.set(xscale='log', xlim=(1e-5, 1), ylim=(0, 3))
    return figure, axes


def test_powers_of_ten_are_set_as_powers_and_names_as_they_are(tmp_path):
    """As in a picture of Matplotlib's own in which no name is taken for a formula."""
    for name in ('expected', 'found'):
        figure, axes = log_axes()
        with matplotlib.rc_context({'text.parse_math': name == 'found'}):
            axes.set_yticks([1, 2], ['a$_b$', '$5 or $6'])
            axes.set_title('road $x^{2}$')
            axes.text(0.01, 1, '$y$')
        if name == 'found':
            write_figure(tmp_path / 'found.png', figure)
        else:
            for text in (axes.title, *axes.get_yticklabels()):
                text.set_parse_math(False)
            figure.savefig(tmp_path / 'expected.png', dpi=110)
    expected, found = (
        Image.open(tmp_path / f'{n}.png').convert('L') for n in ('expected', 'found')
    )
    assert ImageChops.difference(expected, found).getbbox() is None
