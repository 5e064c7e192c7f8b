"""Pictures of the weights from the command line: of which images, of whose weights, and where."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import ROOT, TOY_CONFIG
from mmseg.apis import inference_model, init_model
from mmseg.datasets.transforms import PackSegInputs
from mmseg.registry import DATASETS, TRANSFORMS
from references import max_pooling_weights

from mmseg_imbalance.datasets import class_statistics
from mmseg_imbalance.utils.run_config import load_config
from mmseg_imbalance.weighting import pixel_weight_figure as figures

TOOL = 'analysis_tools/show_pixel_weights.py'
CE_CONFIG = TOY_CONFIG.replace('recall_loss/recall_', 'cross_entropy/ce_')
LMP_CONFIG = TOY_CONFIG.replace('recall_loss/recall_', 'loss_max_pooling/lmp_')
FOCAL_CONFIG = TOY_CONFIG.replace('recall_loss/recall_', 'baselines/focal_')
WCE_CONFIG = TOY_CONFIG.replace('recall_loss/recall_', 'baselines/wce_')


def pictures(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob('*.png'))


@pytest.fixture
def drawn(monkeypatch):
    """Row and title of every picture that a tool draws in this process."""
    seen, draw = [], figures.pixel_weight_figure

    def figure(rows, classes, palette, title):
        (row,) = rows
        seen.append((row, title))
        return draw(rows, classes, palette, title)

    monkeypatch.setattr(figures, 'pixel_weight_figure', figure)
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
        (FOCAL_CONFIG, [], 'trained with SoftmaxFocalLoss; weights that LossMaxPooling(p=1.7, rat'),
        (TOY_CONFIG, ['--p', 'inf'], 'trained with RecallLoss; weights that LossMaxPooling(p=inf'),
        (LMP_CONFIG, ['--ratio', 0.5], 'trained with LossMaxPooling; weights that LossMaxPool'),
        (WCE_CONFIG, [], 'WeightedCrossEntropyLoss('),  # its weights are computed from statistics
    ],
    ids=('own', 'ce', 'focal', 'p', 'ratio', 'statistics'),
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


def write_config(path, base, text):
    path.write_text(f'_base_ = {str(ROOT / base)!r}\n{text}')
    return path


def test_a_head_with_one_channel_for_two_classes(call_tool, trained, toy_options, tmp_path, drawn):
    """The loss is that of the logits before the sigmoid, the prediction that of the threshold."""
    loss = dict(_delete_=True, type='CrossEntropyLoss', use_sigmoid=True)
    head = dict(num_classes=2, out_channels=1, threshold=0.6, loss_decode=loss)
    data = dict(dataset=dict(metainfo=dict(classes=('road', 'building'))))
    config = write_config(
        tmp_path / 'config.py',
        CE_CONFIG,
        f'model = dict(decode_head={head!r})\nval_dataloader = test_dataloader = {data!r}\n',
    )
    state = torch.load(trained[0] / 'iter_2.pth', weights_only=False)
    rng = torch.Generator().manual_seed(0)
    weight = torch.randn(1, 64, 1, 1, generator=rng)
    state['state_dict']['decode_head.conv_seg.weight'] = weight
    state['state_dict']['decode_head.conv_seg.bias'] = torch.zeros(1)
    state['meta']['dataset_meta'] = dict(classes=('a', 'b'), palette=[[0, 0, 0], [255, 0, 0]])
    torch.save(state, tmp_path / 'binary.pth')
    args = (TOOL, config, tmp_path / 'binary.pth', '--out-dir', tmp_path / 'out', '--images', 1)
    assert call_tool(*args, *toy_options) == 0
    ((row, title),) = drawn
    assert title.startswith('trained with CrossEntropyLoss; weights that LossMaxPooling(')

    (image,) = Path(toy_options[1].split('=')[1]).rglob(f'val/*/{row.name}.png')
    model = init_model(str(config), str(tmp_path / 'binary.pth'), device='cpu')
    result = inference_model(model, str(image))
    share = result.seg_logits.data[0].double().numpy()
    np.testing.assert_array_equal(row.prediction, share > 0.6)
    assert ((share > 0.5) & (share < 0.6)).any() and 0 < row.prediction.mean() < 1
    assert set(np.unique(row.label)) == {0, 1, 255}
    expected = -np.log(np.where(row.label == 1, share, 1 - share))
    valid = row.valid & (expected < 10)  # single precision rounds what is next to 1
    assert valid.sum() > 0.9 * row.valid.sum()
    np.testing.assert_allclose(row.pixel_loss[valid], expected[valid], rtol=1e-2, atol=1e-5)


def test_statistics_of_the_file_that_the_hook_names(show, toy_data, toy_options, tmp_path, drawn):
    root = tmp_path / 'data'
    shutil.copytree(toy_data, root, ignore=shutil.ignore_patterns('class_statistics'))
    cfg = load_config(ROOT / WCE_CONFIG)
    dataset = DATASETS.build(dict(cfg.train_dataloader.dataset, data_root=str(root)))
    statistics = tmp_path / 'mine' / 'statistics.npz'
    class_statistics(dataset, statistics, nproc=1)
    written = statistics.read_bytes()
    config = write_config(
        tmp_path / 'config.py',
        WCE_CONFIG,
        f"custom_hooks = [dict(type='ClassStatisticsHook', statistics={str(statistics)!r})]\n",
    )
    options = [f'train_dataloader.dataset.data_root={root}']
    assert show(config, '--images', 1, '--out-dir', tmp_path / 'out', options=options) == 0
    assert drawn[0][1].startswith('WeightedCrossEntropyLoss(')
    assert not (root / 'class_statistics').exists()  # neither counted again nor kept elsewhere
    assert statistics.read_bytes() == written

    statistics.write_bytes(b'damaged')
    assert show(config, '--images', 1, '--out-dir', tmp_path / 'out', options=options) == 2


@pytest.mark.parametrize(('wrapper', 'images'), [('RepeatDataset', 8), ('ConcatDataset', 2)])
def test_images_of_the_data_set_in_a_wrapper(
    call_tool, trained, toy_data, tmp_path, drawn, wrapper, images
):
    inner = f'dict(_base_.train_dataloader.dataset, data_root={str(toy_data)!r})'
    inside = {'RepeatDataset': f'times=3, dataset={inner}', 'ConcatDataset': f'datasets=[{inner}]'}
    config = write_config(
        tmp_path / 'config.py',
        LMP_CONFIG,
        'train_dataloader = dict(dataset=dict(\n'
        f'    _delete_=True, type={wrapper!r}, {inside[wrapper]}))\n',
    )
    out = tmp_path / 'out'
    args = ('--split', 'train', '--images', images, '--out-dir', out)
    assert call_tool(TOOL, config, trained[0] / 'iter_2.pth', *args) == 0
    assert len(drawn) == len(pictures(out)) == images  # each once


def test_the_loss_that_is_named(show, tmp_path, drawn, capsys):
    losses = [
        dict(type='RecallLoss'),
        dict(type='LossMaxPooling', p=1.3, loss_name='loss_pooled'),
    ]
    config = write_config(
        tmp_path / 'config.py', CE_CONFIG, f'model = dict(decode_head=dict(loss_decode={losses}))\n'
    )
    args = (config, '--images', 1, '--out-dir', tmp_path / 'out', '--loss')
    assert show(*args, 'decode_head.loss_decode.1') == 0
    assert drawn[0][1].startswith('LossMaxPooling(p=1.3')
    assert show(*args, 'neck.loss') == 2
    assert "the model has no module 'neck.loss'" in capsys.readouterr().err


class PackWithoutLabel(PackSegInputs):
    def transform(self, results):
        results.pop('gt_seg_map')
        return super().transform(results)


PIPELINE = """test_dataloader = dict(dataset=dict(pipeline=[
    dict(type='LoadImageFromFile'),
    {}
]))
"""


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (
            PIPELINE.format(
                "dict(type='LoadAnnotations'), dict(type='Resize', scale=(128, 64)),"
                "dict(type='PackSegInputs')"
            ),
            '.png: its label is of 128 x 64 pixels, its prediction of 256 x 128; LoadAnnotations',
        ),
        (
            PIPELINE.format("dict(type='mmseg.LoadAnnotations'), dict(type='PackWithoutLabel')"),
            '.png: the test pipeline hands over no label (gt_sem_seg)',
        ),
        ("val_dataloader = dict(dataset=dict(\n"
         "    data_prefix=dict(_delete_=True, img_path='leftImg8bit/val')))", '.png has no label'),
        ("val_dataloader = dict(dataset=dict(metainfo=dict(classes=('road', 'car'))))",
         'the ToyStreetsDataset of val_dataloader has 2 classes, the model predicts 10'),
        ("val_dataloader = dict(dataset=dict(ignore_index=9))", '.png: '),
    ],
    ids=('size', 'packed', 'no labels', 'classes', 'labels'),
)  # fmt: skip
def test_an_image_that_cannot_be_weighed_is_named(
    show, capsys, tmp_path, toy_data, monkeypatch, text, message
):
    monkeypatch.setitem(TRANSFORMS.module_dict, 'PackWithoutLabel', PackWithoutLabel)
    config = write_config(tmp_path / 'config.py', TOY_CONFIG, text)
    assert show(config, '--out-dir', tmp_path / 'out') == 2
    error = capsys.readouterr().err
    (line,) = [line for line in error.splitlines() if 'show_pixel_weights.py: error' in line]
    print(line)
    assert message in line
    if message.startswith('.png'):
        (name,) = [p.stem for p in toy_data.rglob('val/*/*leftImg8bit.png') if p.name in line]
        assert name
    assert not (tmp_path / 'out').exists()
