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

from mmseg_imbalance import registry

MAKEFILE = (ROOT / 'Makefile').read_text()
UPSTREAM = ROOT / '.ci/upstream'


def required() -> list[Requirement]:
    return [Requirement(line) for line in metadata.requires('mmseg-imbalance')]


def import_with(modules: dict[str, str], tmp_path) -> subprocess.CompletedProcess:
    """Imports the package where the given modules are replaced by the given sources."""
    for name, source in modules.items():
        (tmp_path / f'{name}.py').write_text(textwrap.dedent(source))
    code = f'import sys; sys.path.insert(0, {str(tmp_path)!r}); import mmseg_imbalance'
    return subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)


def write_distribution(folder, name: str, version: str = '1.0') -> None:
    """Writes what says that a distribution is installed."""
    info = folder / f'{name.replace("-", "_")}-{version}.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n')


@pytest.mark.parametrize(
    'source, message',
    (
        (
            'raise ImportError("No module named mmcv")',
            r'cannot import mmseg \(No module named mmcv',
        ),
        ('assert False, "MMCV==9 is incompatible"', r'mmseg \(MMCV==9 is incompatible\)'),
    ),
)
def test_a_stack_that_cannot_be_imported(source, message, tmp_path):
    assert re.search(message, the_sentence(import_with({'mmseg': source}, tmp_path)))


@pytest.mark.parametrize(
    'name, version, message',
    (
        ('mmseg', '0.30.0', 'needs mmseg 1.x from 1.2, found 0.30.0'),
        ('mmcv', '1.7.2', 'needs mmcv 2.x from 2.0, found 1.7.2'),
        ('mmcv', '3.0.0', 'needs mmcv 2.x from 2.0, found 3.0.0'),
        ('mmengine', '0.9.1', 'needs mmengine 0.x from 0.10, found 0.9.1'),
    ),
)
def test_one_sentence_that_names_both_extras(name, version, message, tmp_path):
    installed = {found.name for found in metadata.distributions()}
    (distribution,) = installed.intersection(registry._DISTRIBUTIONS[name])
    write_distribution(tmp_path, distribution, version)
    assert re.search(message, the_sentence(import_with({}, tmp_path)))


@pytest.mark.elsewhere
def test_the_registries_import_what_they_need_at_the_first_look_up():
    """And not before, so that importing the package takes no longer than it has to."""
    code = (
        'import sys, mmseg_imbalance\n'
        'from mmseg.registry import MODELS\n'
        'assert "mmseg_imbalance.losses" not in sys.modules\n'
        'assert MODELS.get("RecallLoss").__module__ == "mmseg_imbalance.losses.recall_loss"\n'
        'assert "mmseg_imbalance.weighting" not in sys.modules\n'
    )
    subprocess.run([sys.executable, '-c', code], check=True)


@pytest.mark.elsewhere
def test_a_registry_that_has_looked_up_something_before_knows_the_classes_too():
    code = (
        'from mmseg.registry import HOOKS, MODELS\n'
        'assert MODELS.get("RecallLoss") is None and HOOKS.get("IterSeedHook") is None\n'
        'import mmseg_imbalance\n'
        'assert MODELS.get("RecallLoss") and HOOKS.get("IterSeedHook")\n'
    )
    subprocess.run([sys.executable, '-c', code], check=True)


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
        write_distribution(tmp_path, distribution)
    said = the_sentence(import_with({}, tmp_path))
    assert all(distribution in said for distribution in distributions)
    assert f"overwrite each other's files of {name};" in said


def the_sentence(done) -> str:
    """The one line of an import that failed, which names both extras."""
    assert done.returncode == 1
    (last,) = [line for line in done.stderr.splitlines() if line.startswith('ImportError: mmseg_i')]
    assert "'.[onedl]'" in last and "'.[openmmlab]'" in last
    return last


@pytest.mark.elsewhere
def test_the_installed_stack_is_supported(tmp_path):
    done = import_with({}, tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_oldest_pytorch_that_is_allowed_is_tested():
    oldest = pinned('test-oldest')
    (torch,) = [package for package in required() if package.name == 'torch']
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
            for package in required()
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


@pytest.mark.elsewhere
def test_upstream_is_tested_with_that_module():
    if 'mmcv-lite' not in {found.name for found in metadata.distributions()}:
        pytest.skip('only upstream is tested without compiled ops')
    installed = util.find_spec('mmcv._ext').origin
    assert Path(installed).read_text() == (UPSTREAM / '_ext.py').read_text()
