"""demo/image_demo.py as users run it."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmseg.apis import inference_model, init_model
from PIL import Image

from mmseg_imbalance.utils.inference import build_inferencer, predict
from mmseg_imbalance.utils.run_config import load_config

ROOT = Path(__file__).resolve().parents[2]
DEMO = '../demo/image_demo.py'  # seen from the tools
SHIPPED = 'recall_loss/recall_deeplabv3-r18-d8_1xb8-800_toy-streets-128x256.py'
TOY_CONFIG = f'configs/{SHIPPED}'


@pytest.fixture(scope='module')
def checkpoint(trained, tmp_path_factory):
    """The trained weights, the last layer's so large that every image shows several classes."""
    state = torch.load(trained[0] / 'iter_2.pth', weights_only=False)
    weights = state['state_dict']
    rng = torch.Generator().manual_seed(0)
    shape = weights['decode_head.conv_seg.weight'].shape
    weights['decode_head.conv_seg.weight'] = torch.randn(shape, generator=rng)
    path = tmp_path_factory.mktemp('checkpoint') / 'several classes.pth'
    torch.save(state, path)
    return path


@pytest.fixture(scope='module')
def pictures(tmp_path_factory, toy_data):
    """A folder of images of many kinds, its name and theirs not made for programs."""
    folder = tmp_path_factory.mktemp('pictures') / 'Straße im März'
    a, b, c = (cv2.imread(str(p)) for p in sorted((toy_data / 'leftImg8bit/val').rglob('*.png')))
    alpha = np.random.default_rng(0).integers(0, 256, a.shape[:2], np.uint8)
    for name, image in {
        'left/000.png': a,
        'right/000.png': b,
        'right/000.bmp': c[:100],
        'right/DEEP/ночь 1.PNG': c,
        'right/smaller.JPG': b[:60, :200],
        'grey.tif': cv2.cvtColor(a, cv2.COLOR_BGR2GRAY),
        'see through.png': np.dstack([b, alpha]),
        'sixteen.png': a.astype(np.uint16) * 256 + 99,
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(path.suffix, image)[1].tobytes())
    (folder / 'notes.txt').write_text('no image')
    (folder / 'left' / 'empty.png').touch()
    whole = (folder / 'right/000.png').read_bytes()
    (folder / 'left' / 'half.png').write_bytes(whole[: len(whole) // 2])
    return folder


@pytest.fixture(scope='module')
def overlays(run_tool, checkpoint, pictures, tmp_path_factory):
    """The folder that a run wrote, and the process."""
    folder = tmp_path_factory.mktemp('demo')
    done = run_tool(
        DEMO, pictures, SHIPPED, checkpoint, '--out-dir', 'out dir', '--opacity', 0.25, cwd=folder,
    )  # fmt: skip
    return folder / 'out dir', done


def files(folder):
    return {str(p.relative_to(folder)) for p in folder.rglob('*') if p.is_file()}


def test_every_image_gets_its_overlay_and_damaged_ones_are_named(overlays, pictures):
    folder, done = overlays
    assert done.returncode == 1, done.stderr
    damaged = {'left/empty.png', 'left/half.png'}
    assert files(folder) == files(pictures) - damaged - {'notes.txt'}
    failed = [line for line in done.stderr.splitlines() if line.startswith('failed: ')]
    assert len(failed) == 2
    for line, name in zip(failed, sorted(damaged), strict=True):
        assert line.startswith(f'failed: {pictures / name}: not a complete image file')
    assert '100%' in done.stdout and 'overlays written to out dir: 8' in done.stdout


def test_overlays_show_what_mmseg_predicts(overlays, pictures, checkpoint):
    model = init_model(str(ROOT / TOY_CONFIG), str(checkpoint), device='cpu')
    palette = np.array(model.dataset_meta['palette'])[:, ::-1]
    for name in sorted(files(overlays[0])):
        image = cv2.imread(str(pictures / name))  # three channels of 8 bits, as mmseg reads it
        label = inference_model(model, str(pictures / name)).pred_sem_seg.data[0].numpy()
        assert len(np.unique(label)) > 2
        overlay = cv2.imread(str(overlays[0] / name), cv2.IMREAD_UNCHANGED)
        with Image.open(pictures / name) as before, Image.open(overlays[0] / name) as after:
            assert before.format == after.format
        assert overlay.dtype == np.uint8 and overlay.shape[2:] == (3,), name
        height, width = label.shape
        mixed = 0.75 * image + 0.25 * palette[label]
        error = abs(overlay[:height, :width] - mixed)
        lossy = name.endswith('JPG')
        assert error.mean() < 3 if lossy else error.max() <= 0.51, name
        legend = overlay[height:]
        assert legend.size and legend.min() < 250 < legend.max(), name


def test_grey_transparent_and_deep_images_look_like_their_colours(overlays, pictures):
    image = cv2.imread(str(pictures / 'left/000.png'))
    assert (cv2.imread(str(pictures / 'sixteen.png')) == image).all()
    pairs = {'sixteen.png': 'left/000.png', 'see through.png': 'right/000.png'}
    for kind, plain in pairs.items():
        assert (overlays[0] / kind).read_bytes() == (overlays[0] / plain).read_bytes()


def test_an_overlay_is_not_segmented_in_the_next_run(call_tool, checkpoint, pictures, tmp_path):
    images = tmp_path / 'images'
    shutil.copytree(pictures / 'left', images)
    options = (images, TOY_CONFIG, checkpoint, '--out-dir', images / 'overlays')
    assert call_tool(DEMO, *options) == 1
    found = {'000.png', 'empty.png', 'half.png', 'overlays/000.png'}
    assert files(images) == found
    assert call_tool(DEMO, *options) == 1
    assert files(images) == found


def test_a_single_image(call_tool, checkpoint, pictures, overlays, tmp_path):
    image = pictures / 'left/000.png'
    options = ('--out-dir', tmp_path, '--opacity', 0.25)
    assert call_tool(DEMO, image, SHIPPED, checkpoint, *options) == 0
    assert (tmp_path / '000.png').read_bytes() == (overlays[0] / 'left/000.png').read_bytes()


def test_two_classes_in_one_channel(call_tool, checkpoint, pictures, tmp_path):
    config = tmp_path / 'config.py'
    config.write_text(
        f'_base_ = {str(ROOT / TOY_CONFIG)!r}\n'
        'model = dict(decode_head=dict(num_classes=2, out_channels=1, threshold=0.6,\n'
        "    loss_decode=dict(_delete_=True, type='CrossEntropyLoss', use_sigmoid=True)))\n"
    )
    state = torch.load(checkpoint, weights_only=False)
    for name in ('weight', 'bias'):
        key = f'decode_head.conv_seg.{name}'
        state['state_dict'][key] = state['state_dict'][key][:1]
    palette = np.array([[0, 200, 0], [200, 0, 0]])
    state['meta']['dataset_meta'] = dict(classes=('free', 'taken'), palette=palette.tolist())
    torch.save(state, tmp_path / 'binary.pth')
    image, out = pictures / 'left/000.png', tmp_path / 'out'
    command = (image, config, tmp_path / 'binary.pth', '--out-dir', out, '--opacity', 1)
    assert call_tool(DEMO, *command) == 0
    model = init_model(str(config), str(tmp_path / 'binary.pth'), device='cpu')
    label = inference_model(model, str(image)).seg_logits.data[0].numpy() > 0.6
    assert 0 < label.mean() < 1
    overlay = cv2.imread(str(out / '000.png'))[: label.shape[0], : label.shape[1], ::-1]
    np.testing.assert_array_equal(overlay, palette[label.astype(int)])


def test_images_are_loaded_as_the_config_says(call_tool, checkpoint, pictures, tmp_path):
    image = 100 * cv2.imread(str(pictures / 'left/000.png')).astype(np.uint16)
    path, out = tmp_path / 'deep.png', ('--out-dir', tmp_path / 'out', '--opacity', 1)
    cv2.imwrite(str(path), image)
    options = {
        'test_dataloader': None,  # that of the validation is taken
        'val_dataloader.dataset.pipeline.0.color_type': 'unchanged',  # keeps 16 bits
        'visualizer.type': 'Visualizer',  # of MMEngine
    }
    given = [f'{key}={value}' for key, value in options.items()]
    assert call_tool(DEMO, path, SHIPPED, checkpoint, *out, '--cfg-options', *given) == 0
    model = build_inferencer(load_config(str(ROOT / TOY_CONFIG), options), str(checkpoint), 'cpu')
    (label,) = predict(model, [image])
    assert (label != predict(model, [cv2.imread(str(path))])[0]).any()
    palette = np.array(model.model.dataset_meta['palette'])[:, ::-1]
    overlay = cv2.imread(str(tmp_path / 'out/deep.png'))[: len(label)]
    np.testing.assert_array_equal(overlay, palette[label])


def one_line(capsys):
    """The error, one line after warnings and what is logged while a model is built."""
    return capsys.readouterr().err.splitlines()[-1].removeprefix('image_demo.py: error: ')


def test_bad_input_is_one_line_and_exit_code_2(call_tool, capsys, checkpoint, pictures, tmp_path):
    image = pictures / 'left/000.png'
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'text.txt').touch()
    nowhere = tmp_path / 'none'
    for arguments, message in (
        ((nowhere, SHIPPED, checkpoint), f'at {nowhere}'),
        ((tmp_path / 'empty', SHIPPED, checkpoint), 'no images (.bmp, .jpeg, .jpg, .png,'),
        ((tmp_path / 'text.txt', SHIPPED, checkpoint), 'no images (.bmp, .jpeg, .jpg, .png,'),
        ((image, SHIPPED, nowhere), f'checkpoint not found: {nowhere}'),
        ((image, 'recall_loss/none.py', checkpoint), 'recall_loss/none.py'),
        ((image, SHIPPED, checkpoint, '--device', 'cuda:99'), "device 'cuda:99' cannot be used"),
        ((image, SHIPPED, image), f'checkpoint {image} is damaged or not a checkpoint'),
        ((image, SHIPPED, checkpoint, '--out-dir', image.parent), 'outside of --out-dir'),
        ((pictures, SHIPPED, checkpoint, '--out-dir', pictures), 'outside of --out-dir'),
    ):
        assert call_tool(DEMO, *arguments) == 2
        assert message in one_line(capsys)
    assert image.read_bytes().startswith(b'\x89PNG') and cv2.imread(str(image)).shape[1] == 256


def test_weights_of_another_model_are_refused(call_tool, capsys, checkpoint, pictures, tmp_path):
    image = pictures / 'left/000.png'
    other = SHIPPED.replace('recall_loss/recall', 'cross_entropy/ce')
    out = ('--out-dir', tmp_path)
    assert call_tool(DEMO, image, other, checkpoint, *out) == 0  # the loss is no part of it

    larger = ('--cfg-options', 'model.decode_head.num_classes=11')
    assert call_tool(DEMO, image, SHIPPED, checkpoint, *out, *larger) == 2
    message = 'its weights are of another model: 2 are missing or of another shape, such as decode'
    assert message in one_line(capsys)

    state = torch.load(checkpoint, weights_only=False)
    meta = state['meta']['dataset_meta']
    for classes, palette, message in (
        (meta['classes'], None, '10 classes and 0 colours'),
        (meta['classes'][:9], meta['palette'][:9], '9 classes and 9 colours'),
    ):
        state['meta']['dataset_meta'] = dict(classes=classes, palette=palette)
        torch.save(state, tmp_path / 'other names.pth')
        assert call_tool(DEMO, image, SHIPPED, tmp_path / 'other names.pth', *out) == 2
        assert message in one_line(capsys)


def test_opacity_out_of_range(call_tool, capsys):
    assert call_tool(DEMO, 'image.png', SHIPPED, 'checkpoint.pth', '--opacity', 1.5) == 2
    assert "'1.5' is not a number from 0 to 1" in capsys.readouterr().err
