"""Tools on test sets of several data sets, and on configs in pure Python."""

import cv2
import pytest
from conftest import ROOT, TOY_CONFIG
from mmengine.config import Config

TEST_SETS = """
_base_ = {base!r}
val = dict(_base_.val_dataloader.dataset, data_root={root!r})
both = [val, dict(type='RepeatDataset', times=1, dataset=val)]
for_all = dict(_delete_=True, type='ConcatDataset', datasets=both)
val_dataloader = dict(dataset=for_all, num_workers=0, persistent_workers=False)
test_dataloader = dict(dataset=for_all, num_workers=0, persistent_workers=False)
"""


@pytest.fixture
def config(tmp_path, toy_data):
    path = tmp_path / 'several.py'
    path.write_text(TEST_SETS.format(base=str(ROOT / TOY_CONFIG), root=str(toy_data)))
    return path


@pytest.mark.parametrize('augmented', [(), ('--tta',)], ids=['plain', 'augmented'])
def test_predictions_are_saved(run_tool, config, trained, tmp_path, augmented):
    out, checkpoint = tmp_path / 'out', trained[0] / 'iter_2.pth'
    args = ('--work-dir', tmp_path, '--out', out, *augmented)
    done = run_tool('test.py', config, checkpoint, *args)
    assert done.returncode == 0, done.stderr
    assert len(list(out.rglob('*.png'))) == 3


def test_images_are_segmented(call_tool, config, trained, toy_data, tmp_path):
    (image,) = list((toy_data / 'leftImg8bit/val').rglob('*.png'))[:1]
    checkpoint, out = trained[0] / 'iter_2.pth', tmp_path / 'out'
    assert call_tool('../demo/image_demo.py', image, config, checkpoint, '--out-dir', out) == 0
    assert cv2.imread(str(out / image.name)) is not None


def test_weights_are_drawn(call_tool, config, trained, tmp_path):
    args = ('--images', 2, '--split', 'test', '--out-dir', tmp_path / 'out')
    tool = 'analysis_tools/show_pixel_weights.py'
    assert call_tool(tool, config, trained[0] / 'iter_2.pth', *args) == 0
    assert len(list((tmp_path / 'out').rglob('*.png'))) == 2


def test_missing_images_inside_a_wrapper_are_named(call_tool, config, trained, capsys, tmp_path):
    options = ('--cfg-options', 'test_dataloader.dataset.datasets.1.dataset.data_root=nowhere')
    assert call_tool('test.py', config, trained[0] / 'iter_2.pth', *options) == 2
    assert 'data not found: nowhere/leftImg8bit/val' in capsys.readouterr().err


@pytest.mark.parametrize('dumped', [False, True], ids=['as written', 'as a training dumps it'])
def test_a_config_in_pure_python(call_tool, trained, toy_data, tmp_path, dumped):
    """Its types are classes, not names; dumped, they are names with the modules."""
    cfg = Config.fromfile(ROOT / TOY_CONFIG)
    steps = [
        'dict(type=LoadImageFromFile)',
        'dict(type=Resize, scale=(256, 128), keep_ratio=True)',
        'dict(type=LoadAnnotations)',
        'dict(type=PackSegInputs)',
    ]
    text = (
        'from mmcv.transforms import LoadImageFromFile, Resize\n'
        'from mmseg.datasets.transforms import LoadAnnotations, PackSegInputs\n'
        f'model = {cfg.model.to_dict()!r}\n'
        f'test_dataloader = dict(dataset=dict(pipeline=[{", ".join(steps)}]))\n'
        "default_scope = 'mmseg'\n"
        "visualizer = dict(type='SegLocalVisualizer', vis_backends=[], name='visualizer')\n"
    )
    config = tmp_path / 'pure.py'
    config.write_text(text)
    if dumped:
        Config.fromfile(config).dump(config)
        assert "type='mmcv.transforms.LoadImageFromFile'" in config.read_text()
    (image,) = list((toy_data / 'leftImg8bit/val').rglob('*.png'))[:1]
    command = (image, config, trained[0] / 'iter_2.pth', '--out-dir', tmp_path / 'out')
    assert call_tool('../demo/image_demo.py', *command) == 0
    assert cv2.imread(str(tmp_path / 'out' / image.name)) is not None
