"""Configs of an installed copy, in a virtual environment outside the checkout."""

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from mmseg_imbalance import config_path

ROOT = Path(__file__).resolve().parents[1]
CHILD = """\
_base_ = __import__('mmseg_imbalance').config_path(
    'recall_loss/recall_deeplabv3-r18-d8_4xb2-80k_cityscapes-512x1024.py')
model = dict(backbone=dict(init_cfg=None), decode_head=dict(loss_decode=dict(floor=0)))
"""
LOAD = """\
import mmseg_imbalance, sys
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
print(mmseg_imbalance.__file__)
cfg = Config.fromfile('child.py')
init_default_scope('mmseg')
print(MODELS.build(cfg.model).decode_head.loss_decode)
"""


def run(*command, cwd) -> str:
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope='module')
def installed(tmp_path_factory):
    """A virtual environment with the built wheel; what the wheel needs is borrowed from here."""
    folder = tmp_path_factory.mktemp('elsewhere')
    pip = (sys.executable, '-m', 'pip', '--disable-pip-version-check')
    run(*pip, 'wheel', '--no-deps', '--no-build-isolation', '-w', folder, ROOT, cwd=folder)
    (wheel,) = folder.glob('mmseg_imbalance-*.whl')
    run(sys.executable, '-m', 'venv', '--without-pip', folder / 'venv', cwd=folder)
    python = folder / 'venv' / 'bin' / 'python'
    site = Path(run(python, '-c', 'import sysconfig; print(sysconfig.get_path("purelib"))',
                    cwd=folder).strip())  # fmt: skip
    # Named in a .pth file, the other folder's own .pth files (an editable install) do not count.
    (site / 'borrowed.pth').write_text(sysconfig.get_path('purelib'))
    run(*pip, '--python', python, 'install', '--no-deps', wheel, cwd=folder)
    return folder, python, site / 'mmseg_imbalance'


def test_the_wheel_carries_configs_and_tools(installed):
    _, _, package = installed
    for kind in ('configs', 'tools'):
        tracked = run('git', 'ls-files', '--cached', '--others', '--exclude-standard', kind,
                      cwd=ROOT).split()  # fmt: skip
        assert len(tracked) > 5
        missing = [path for path in tracked if not (package / '.mim' / path).is_file()]
        assert not missing
    assert (package / '.mim' / 'model-index.yml').is_file()


def test_a_config_inherits_from_the_installed_copy(installed):
    folder, python, package = installed
    (folder / 'child.py').write_text(CHILD)
    where, loss = run(python, '-c', LOAD, cwd=folder).splitlines()[-2:]
    assert Path(where).parent == package
    assert loss.startswith('RecallLoss(floor=0')


def test_the_installed_tools_run(installed):
    folder, python, package = installed
    for tool in ('train.py', 'test.py', 'demo.py'):
        assert 'example' in run(python, package / '.mim' / 'tools' / tool, '--help', cwd=folder)


def test_a_config_that_does_not_exist_is_named():
    assert Path(config_path('_base_/default_runtime.py')).is_file()
    with pytest.raises(FileNotFoundError, match=r"no config '_base_/gone.py'.*default_runtime.py"):
        config_path('_base_/gone.py')
