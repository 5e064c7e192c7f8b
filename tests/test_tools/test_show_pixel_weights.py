"""Pictures of the weights from the command line: of which images, of whose weights, and where."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import ROOT, TOY_CONFIG
from references import max_pooling_weights

from mmseg_imbalance import visualization

TOOL = 'analysis_tools/show_pixel_weights.py'
CE_CONFIG = TOY_CONFIG.replace('recall_loss/recall_', 'cross_entropy/ce_')
LMP_CONFIG = TOY_CONFIG.replace('recall_loss/recall_', 'loss_max_pooling/lmp_')
WCE_CONFIG = TOY_CONFIG.replace('recall_loss/recall_', 'baselines/wce_')


def pictures(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob('*.png'))


@pytest.fixture
def drawn(monkeypatch):
    """Row and title of every picture that a tool draws in this process."""
    seen, draw = [], visualization.pixel_weight_figure

    def figure(rows, classes, palette, title):
        (row,) = rows
        seen.append((row, title))
        return draw(rows, classes, palette, title)

    monkeypatch.setattr(visualization, 'pixel_weight_figure', figure)
    return seen


@pytest.fixture
def show(call_tool, trained, toy_options):
    """Draws with the trained checkpoint, in this process; returns the exit code."""

    def call(config, *args, options=()):
        checkpoint = trained[0] / 'iter_2.pth'
        return call_tool(TOOL, config, checkpoint, *args, *toy_options, *options)

    return call


def test_a_picture_per_image_below_the_work_dir(run_tool, trained, toy_options, tmp_path):
    done = run_tool(
        TOOL, TOY_CONFIG, trained[0] / 'iter_2.pth', *toy_options, f'work_dir={tmp_path}'
    )
    assert done.returncode == 0, done.stderr
    folder = tmp_path / 'pixel_weights' / 'val'
    assert f'written: {folder}' in done.stdout.replace('\n', '') and 'drawing' in done.stdout
    found = pictures(folder)
    assert len(found) == 3 and all(path.count('/') == 1 for path in found)
    for path in found:
        height, width, _ = cv2.imread(str(folder / path)).shape
        assert 300 < height <= 1080 and 900 < width <= 1920


def test_chosen_images(show, tmp_path):
    spread, named = tmp_path / 'spread', tmp_path / 'named'
    assert show(TOY_CONFIG, '--split', 'train', '--images', 2, '--out-dir', spread) == 0
    first, last = pictures(spread)
    assert '000000' in first and '000007' in last  # of eight
    names = Path(first).stem, last.removesuffix('.png')
    assert show(TOY_CONFIG, '--split', 'train', '--names', *names, '--out-dir', named) == 0
    assert pictures(named) == [first, last]
    for path in (first, last):
        assert (spread / path).read_bytes() == (named / path).read_bytes()


@pytest.mark.parametrize(
    ('config', 'args', 'title'),
    [
        (LMP_CONFIG, [], "LossMaxPooling(p=1.7, ratio=0.25, pool='image')"),
        (CE_CONFIG, [], 'trained with CrossEntropyLoss; weights that LossMaxPooling(p=1.7, rat'),
        (TOY_CONFIG, ['--p', 'inf'], 'trained with RecallLoss; weights that LossMaxPooling(p=inf'),
        (LMP_CONFIG, ['--ratio', 0.5], 'trained with LossMaxPooling; weights that LossMaxPool'),
        (WCE_CONFIG, [], 'WeightedCrossEntropyLoss('),  # its weights are computed from statistics
    ],
    ids=('own', 'ce', 'p', 'ratio', 'statistics'),
)
def test_whose_weights(show, tmp_path, drawn, config, args, title):
    assert show(config, '--images', 1, '--out-dir', tmp_path, *args) == 0
    ((row, found),) = drawn
    assert found.startswith(title)
    if 'ratio=0.5' in found:
        losses = row.pixel_loss[row.valid]
        expected = len(losses) * max_pooling_weights(losses, 1.7, 0.5)
        np.testing.assert_allclose(row.weight[row.valid], expected, rtol=1e-3, atol=1e-5)
    if 'p=inf' in found:
        assert (row.weight[row.valid] == 1).all()


def test_first_weighting_of_several_losses_and_a_model_with_sync_bn(show, tmp_path, drawn):
    config = tmp_path / 'config.py'
    sync_bn = dict(norm_cfg=dict(type='SyncBN', requires_grad=True))
    losses = [dict(type='CrossEntropyLoss', loss_name='loss_a'), dict(type='RecallLoss')]
    model = dict(backbone=sync_bn, decode_head=dict(sync_bn, loss_decode=losses))
    config.write_text(f'_base_ = {str(ROOT / CE_CONFIG)!r}\nmodel = {model!r}\n')
    assert show(config, '--images', 1, '--out-dir', tmp_path) == 0
    assert drawn[0][1].startswith('RecallLoss(')


def test_images_and_labels_are_whole_and_the_prediction_is_that_of_the_test(
    show, toy_data, tmp_path, drawn, run_tool, trained, toy_options
):
    """Also where the network gets the images in another size."""
    larger = ['test_dataloader.dataset.pipeline.1.scale=(384,192)']
    assert show(TOY_CONFIG, '--out-dir', tmp_path / 'shown', options=larger) == 0
    predicted = tmp_path / 'predicted'
    done = run_tool(
        'test.py', TOY_CONFIG, trained[0] / 'iter_2.pth', '--work-dir', tmp_path / 'work',
        '--out', predicted, *toy_options, *larger,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(drawn) == 3
    for row, _ in drawn:
        (image,) = (toy_data / 'leftImg8bit' / 'val').rglob(f'{row.name}.png')
        label = row.name.replace('leftImg8bit', 'gtFine_labelTrainIds')
        (label,) = (toy_data / 'gtFine' / 'val').rglob(f'{label}.png')
        (prediction,) = predicted.rglob(f'{row.name}.png')
        np.testing.assert_array_equal(row.image[..., ::-1], cv2.imread(str(image)))
        for mine, file in ((row.label, label), (row.prediction, prediction)):
            np.testing.assert_array_equal(mine, cv2.imread(str(file), cv2.IMREAD_UNCHANGED))
        np.testing.assert_array_equal(row.valid, row.label != 255)


@pytest.mark.parametrize(
    ('args', 'options', 'message'),
    [
        (['--names', 'nowhere'], [], "no image of val_dataloader is named 'nowhere', as '"),
        (['--device', 'nonsense'], [], "device 'nonsense' cannot be used"),
        (['--p', '0.5'], [], "'0.5' is not a number in [1, inf]"),
        (['--images', '0'], [], "'0' is not a whole number >= 1"),
        (['--split', 'test'], ['test_dataloader=None'], 'has no test_dataloader'),
        ([], ['val_dataloader.dataset.data_root=gone'], 'data not found: gone/'),
        ([], ['model.decode_head.num_classes=7'], 'its weights are of another model'),
        ([], ['val_dataloader.dataset.type=Nowhere'], 'Nowhere'),
    ],
)
def test_what_cannot_be_is_one_line(show, capsys, tmp_path, args, options, message):
    out = tmp_path / 'out'
    assert show(TOY_CONFIG, '--out-dir', out, *args, options=options) == 2
    error = capsys.readouterr().err
    (line,) = [line for line in error.splitlines() if 'show_pixel_weights.py: error' in line]
    assert message in line and 'Traceback' not in error
    assert not out.exists()


def test_a_pipeline_without_labels_is_named(show, capsys, tmp_path):
    config = tmp_path / 'config.py'
    config.write_text(
        f'_base_ = {str(ROOT / TOY_CONFIG)!r}\n'
        'test_dataloader = dict(dataset=dict(pipeline=[\n'
        "    step for step in _base_.test_pipeline if step['type'] != 'LoadAnnotations']))\n"
    )
    assert show(config, '--out-dir', tmp_path / 'out') == 2
    assert "the config's test pipeline loads no labels" in capsys.readouterr().err
