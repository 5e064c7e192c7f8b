"""A missing or unsupported stack is one clear sentence, in a process of its own.

And: what the checks install is what pyproject.toml and docs/stacks.md say.
"""

import re
import subprocess
import sys
import textwrap
from importlib import metadata, util
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from pages import ROOT

MAKEFILE = (ROOT / 'Makefile').read_text()
UPSTREAM = ROOT / '.ci/upstream'
REQUIRED = [Requirement(line) for line in metadata.requires('mmseg-imbalance')]


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
        ('mmcv', '__version__ = "3.0.0"', 'needs mmcv 2.x from 2.0, found 3.0.0'),
        ('mmengine', '__version__ = "0.9.1"', 'needs mmengine 0.x from 0.10, found 0.9.1'),
    ),
)
def test_one_sentence_that_names_both_extras(name, source, message, tmp_path):
    assert re.search(message, the_sentence(import_with({name: source}, tmp_path)))


@pytest.mark.parametrize(
    'name, distributions',
    (
        ('mmengine', ('mmengine', 'onedl-mmengine')),
        ('mmcv', ('mmcv', 'onedl-mmcv')),
        ('mmcv', ('mmcv', 'mmcv-lite')),
        ('mmseg', ('mmsegmentation', 'onedl-mmsegmentation')),
    ),
)
def test_two_distributions_of_one_name(name, distributions, tmp_path):
    for distribution in distributions:
        info = tmp_path / f'{distribution.replace("-", "_")}-1.0.dist-info'
        info.mkdir()
        (info / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {distribution}\n')
    said = the_sentence(import_with({}, tmp_path))
    assert all(distribution in said for distribution in distributions)
    assert f"overwrite each other's files of {name};" in said


def the_sentence(done) -> str:
    """The one line of an import that failed, which names both extras."""
    assert done.returncode == 1
    (last,) = [line for line in done.stderr.splitlines() if line.startswith('ImportError: mmseg_i')]
    assert 'mmseg-imbalance[onedl]' in last and 'mmseg-imbalance[openmmlab]' in last
    return last


def test_the_installed_stack_is_supported(tmp_path):
    done = import_with({}, tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_oldest_pytorch_that_is_allowed_is_tested():
    oldest = pinned('test-oldest')
    (torch,) = [package for package in REQUIRED if package.name == 'torch']
    (lowest,) = [part.version for part in torch.specifier if part.operator == '>=']
    assert oldest.startswith(f'{lowest}.') and torch.specifier.contains(oldest)


@pytest.mark.parametrize('target', ('test', 'test-oldest', 'test-newest'))
def test_the_page_of_the_stacks_names_what_is_tested(target):
    page = (ROOT / 'docs/stacks.md').read_text()
    (row,) = re.findall(rf'^\| `make {target}` .*$', page, re.M)
    assert f'| {pinned(target)} |' in row


def pinned(target: str) -> str:
    """The release of PyTorch that a target of the Makefile installs."""
    _, recipe = MAKEFILE.split(f'\n{target}:')
    own = re.match(r'.*\n\t.* TORCH=(\S+)', recipe)
    return own[1] if own else re.search(r'^TORCH \?= (\S+)$', MAKEFILE, re.M)[1]


def test_upstream_is_tested_in_releases_that_its_extra_allows():
    pins = re.findall(r'^    "(\S+)==(\S+)",', (UPSTREAM / 'pyproject.toml').read_text(), re.M)
    assert [name for name, _ in pins] == ['mmsegmentation', 'mmengine', 'mmcv-lite']
    for name, version in pins:
        (allowed,) = [
            package.specifier
            for package in REQUIRED
            if package.name == name.removesuffix('-lite')
            and package.marker.evaluate({'extra': 'openmmlab'})
        ]
        assert allowed.contains(version), (name, version)


def test_an_op_of_upstream_that_is_not_compiled_says_so():
    spec = util.spec_from_file_location('ops_of_no_use', UPSTREAM / '_ext.py')
    ops = util.module_from_spec(spec)
    spec.loader.exec_module(ops)
    with pytest.raises(NotImplementedError, match=r"^nms is one of MMCV's compiled ops.*_ext\.py$"):
        ops.nms(1, offset=2)
    assert not hasattr(ops, '__path__')  # it is no package


def test_upstream_is_tested_with_that_module():
    if 'mmcv-lite' not in {found.name for found in metadata.distributions()}:
        pytest.skip('only upstream is tested without compiled ops')
    installed = util.find_spec('mmcv._ext').origin
    assert Path(installed).read_text() == (UPSTREAM / '_ext.py').read_text()
