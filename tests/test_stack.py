"""A missing or unsupported stack is one clear sentence, in a process of its own."""

import re
import subprocess
import sys
import textwrap

import pytest


def import_with(modules: dict[str, str], tmp_path) -> subprocess.CompletedProcess:
    """Imports the package where the given modules are replaced by the given sources."""
    for name, source in modules.items():
        (tmp_path / f'{name}.py').write_text(textwrap.dedent(source))
    code = f'import sys; sys.path.insert(0, {str(tmp_path)!r}); import mmseg_imbalance'
    return subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)


@pytest.mark.parametrize(
    'name, source, message',
    (
        ('mmseg', 'raise ImportError("No module named mmseg")', 'cannot import mmseg'),
        ('mmcv', 'raise ModuleNotFoundError("no mmcv")', r'cannot import mmcv \(no mmcv\)'),
        ('mmseg', 'assert False, "MMCV==9 is incompatible"', r'mmseg \(MMCV==9 is incompatible\)'),
        ('mmseg', '__version__ = "0.30.0"', 'needs mmseg 1.x from 1.2, found 0.30.0'),
        ('mmcv', '__version__ = "1.7.2"', 'needs mmcv 2.x from 2.0, found 1.7.2'),
        ('mmengine', '__version__ = "0.9.1"', 'needs mmengine 0.x from 0.10, found 0.9.1'),
    ),
)
def test_one_sentence_that_names_both_extras(name, source, message, tmp_path):
    done = import_with({name: source}, tmp_path)
    assert done.returncode == 1
    (last,) = [line for line in done.stderr.splitlines() if line.startswith('ImportError: mmseg_i')]
    assert re.search(message, last)
    assert 'mmseg-imbalance[onedl]' in last and 'mmseg-imbalance[openmmlab]' in last


def test_the_installed_stack_is_supported(tmp_path):
    done = import_with({}, tmp_path)
    assert done.returncode == 0, done.stderr
