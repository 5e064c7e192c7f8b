"""Configs of an installed copy, in a virtual environment outside the checkout."""

import subprocess
import sys
import sysconfig
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmseg_imbalance.utils.shipped import config_path

ROOT = Path(__file__).resolve().parents[1]
CHILD = """\
_base_ = __import__('mmseg_imbalance').config_path(
    'recall_loss/recall_deeplabv3-r101-d8_4xb2-80k_cityscapes-512x1024.py')
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

TOY = 'recall_loss/recall_deeplabv3-r18-d8_1xb8-800_toy-streets-128x256.py'
# By hand: mean and deviation of the toy config, one image of the network's own size, no padding.
INFER = """\
import sys, cv2, mmseg_imbalance, numpy as np, torch
from mmengine.config import Config
from mmseg.apis import MMSegInferencer
from mmseg.registry import MODELS
checkpoint, *configs = sys.argv[1:]
image = 'data/toy_streets/leftImg8bit/val/bricktown/bricktown_000000_leftImg8bit.png'
for i, config in enumerate(configs, start=1):
    inferencer = MMSegInferencer(model=config, weights=checkpoint, device='cpu')
    np.save(f'{i}.npy', inferencer(image, out_dir='inferred')['predictions'])
cfg = Config.fromfile(configs[0])
model = MODELS.build(cfg.model).eval()
model.load_state_dict(torch.load(checkpoint, weights_only=False)['state_dict'])
rgb = torch.from_numpy(cv2.imread(image)[..., ::-1].copy()).permute(2, 0, 1)[None].float()
mean, std = (torch.tensor(cfg.model.data_preprocessor[k])[:, None, None] for k in ('mean', 'std'))
with torch.no_grad():
    logits = model.decode_head(model.backbone((rgb - mean) / std))
    logits = torch.nn.functional.interpolate(logits, rgb.shape[2:], mode='bilinear')
np.save('0.npy', logits.argmax(1)[0])
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


def test_the_wheel_carries_configs_demo_and_tools(installed):
    _, _, package = installed
    for kind in ('configs', 'demo', 'tools'):
        tracked = run('git', 'ls-files', '--cached', '--others', '--exclude-standard', kind,
                      cwd=ROOT).split()  # fmt: skip
        assert tracked
        missing = [path for path in tracked if not (package / '.mim' / path).is_file()]
        assert not missing
    assert (package / '.mim' / 'model-index.yml').is_file()


def test_a_config_inherits_from_the_installed_copy(installed):
    folder, python, package = installed
    (folder / 'child.py').write_text(CHILD)
    where, loss = run(python, '-c', LOAD, cwd=folder).splitlines()[-2:]
    assert Path(where).parent == package
    assert loss.startswith('RecallLoss(floor=0')


def test_an_installed_analysis_tool_runs(installed):
    folder, python, package = installed
    tool = package / '.mim/tools/analysis_tools/class_statistics.py'
    assert 'example' in run(python, tool, '--help', cwd=folder)


@pytest.mark.parametrize(
    'tool', ('study.py', 'analysis_tools/advise.py', 'dataset_converters/toy_streets.py')
)
def test_a_tool_of_the_laboratory_says_where_it_runs(installed, tool):
    folder, python, package = installed
    done = subprocess.run(
        [python, package / '.mim/tools' / tool, '--help'],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith('clone the repository and run it there')


@pytest.fixture(scope='module')
def trained_there(installed):
    """The work dir of two iterations, on toy data, with nothing but what is installed."""
    folder, python, package = installed
    tools = package / '.mim' / 'tools'
    sizes = ('--train', 4, '--val', 2, '--nproc', 1)
    drawing = ROOT / 'tools/dataset_converters/toy_streets.py'
    run(sys.executable, drawing, folder / 'data/toy_streets', *sizes, cwd=folder)  # fmt: skip
    options = ('train_dataloader.batch_size=2', 'train_cfg.max_iters=2', 'train_cfg.val_interval=2',
               'default_hooks.checkpoint.interval=2')  # fmt: skip
    config = package / '.mim/configs' / TOY
    run(python, tools / 'train.py', config, '--work-dir', 'work', '--cfg-options', *options,
        cwd=folder)  # fmt: skip
    return folder / 'work'


@pytest.mark.slow
def test_mmseg_predicts_with_an_installed_config_and_with_one_that_a_run_dumped(
    installed, trained_there
):
    folder, python, package = installed
    configs = (package / '.mim/configs' / TOY, trained_there / Path(TOY).name)
    run(python, '-c', INFER, trained_there / 'iter_2.pth', *configs, cwd=folder)
    by_hand, *inferred = (np.load(folder / f'{i}.npy') for i in range(3))
    assert by_hand.shape == (128, 256) and len(np.unique(by_hand)) > 2
    for label in inferred:
        np.testing.assert_array_equal(label, by_hand)
    drawn = sorted((folder / 'inferred/vis').glob('*'))
    assert [path.name for path in drawn] == ['bricktown_000000_leftImg8bit.png']
    assert cv2.imread(str(drawn[0])).shape == (128, 256, 3)


@pytest.mark.slow
def test_the_installed_test_tool_draws(installed, trained_there):
    folder, python, package = installed
    config, checkpoint = package / '.mim/configs' / TOY, trained_there / 'iter_2.pth'
    run(python, package / '.mim/tools/test.py', config, checkpoint, '--work-dir', 'tested',
        '--show-dir', 'drawn', cwd=folder)  # fmt: skip
    drawn = sorted((folder / 'drawn').rglob('vis_image/*.png'))
    assert len(drawn) == 2
    assert cv2.imread(str(drawn[0])).shape == (128, 512, 3)  # truth and prediction


@pytest.mark.slow
def test_the_installed_demo_writes_overlays(installed, trained_there):
    folder, python, package = installed
    demo, images = package / '.mim/demo/image_demo.py', folder / 'data/toy_streets/leftImg8bit/val'
    run(python, demo, images, TOY, trained_there / 'iter_2.pth', '--out-dir', 'out', cwd=folder)
    overlays = sorted(path.relative_to(folder / 'out') for path in (folder / 'out').rglob('*.png'))
    assert overlays == sorted(path.relative_to(images) for path in images.rglob('*.png'))


def test_a_config_that_does_not_exist_is_named():
    assert Path(config_path('_base_/default_runtime.py')).is_file()
    with pytest.raises(FileNotFoundError, match=r"no config '_base_/gone.py'.*default_runtime.py"):
        config_path('_base_/gone.py')
