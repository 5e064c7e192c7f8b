"""tools/test.py as users run it."""

import re
import shutil

import cv2
import numpy as np
import pytest
from checkpoint_files import load

TOY_CONFIG = 'configs/recall_loss/recall_deeplabv3-r18-d8_1xb8-800_toy-streets-128x256.py'


def miou(log):
    return float(re.search(r'Iter\(test\).*mIoU: (\S+)', log)[1])


@pytest.mark.elsewhere
def test_tta_draws_and_saves_predictions(scored, toy_data):
    folder, log = scored
    images = sorted((toy_data / 'leftImg8bit/val').rglob('*.png'))
    drawn = sorted((folder / 'drawn').rglob('vis_image/*.png'))
    assert len(images) == len(drawn) == 3
    assert cv2.imread(str(drawn[0])).shape == (128, 512, 3)  # truth and prediction

    # the saved predictions are those that were scored
    hit, union = np.zeros(10), np.zeros(10)
    for image in images:
        relative = image.relative_to(toy_data / 'leftImg8bit/val')
        label_name = relative.name.replace('leftImg8bit', 'gtFine_labelTrainIds')
        label = cv2.imread(str(toy_data / 'gtFine/val' / relative.parent / label_name), -1)
        predicted = cv2.imread(str(folder / 'out' / relative), cv2.IMREAD_UNCHANGED)
        assert predicted.shape == label.shape and predicted.dtype == np.uint8
        predicted = np.where(label == 255, 255, predicted)
        for c in range(10):
            hit[c] += ((predicted == c) & (label == c)).sum()
            union[c] += ((predicted == c) | (label == c)).sum()
    assert miou(log) == pytest.approx(100 * np.nanmean(hit / union), abs=0.01)
    assert len(list((folder / 'out').rglob('*'))) == 3 + len({i.parent for i in images})


def test_tta_changes_the_score(trained, scored, run_tool, toy_options, tmp_path):
    checkpoint = trained[0] / 'iter_2.pth'
    of_training = tmp_path / TOY_CONFIG.rpartition('/')[2]
    of_training.write_text('what the training left, which calibration takes as its config')
    plain = run_tool('test.py', TOY_CONFIG, checkpoint, '--work-dir', tmp_path, *toy_options)
    assert plain.returncode == 0, plain.stderr
    assert of_training.read_text().startswith('what the training left')
    assert 'load_from' in of_training.with_stem(f'{of_training.stem}_test').read_text()
    assert miou(plain.stdout + plain.stderr) != miou(scored[1])


@pytest.mark.elsewhere
@pytest.mark.parametrize('tta', [(), ('--tta',)], ids=['plain', 'tta'])
def test_weights_of_another_model_are_refused(
    call_tool, capsys, trained, toy_options, tmp_path, tta
):
    """MMEngine logs them and scores a model with random weights in their place."""
    checkpoint = trained[0] / 'iter_2.pth'
    options = (*tta, '--work-dir', tmp_path / 'work', *toy_options)
    larger = 'model.decode_head.num_classes=11'
    assert call_tool('test.py', TOY_CONFIG, checkpoint, *options, larger) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f'test.py: error: the weights of {checkpoint} are of another model: 2 ')
    shape = load(checkpoint)['state_dict']['decode_head.conv_seg.weight'].shape
    expected = f'such as decode_head.conv_seg.weight {tuple(shape)} for {(11, *shape[1:])}, '
    assert f' are missing or of another shape, {expected}' in line
    assert line.endswith(f', that of {load(checkpoint)["meta"]["experiment_name"]}')


def test_tta_of_one_channel_is_refused(call_tool, capsys, trained, toy_options, tmp_path):
    options = ('--tta', '--work-dir', tmp_path / 'work', *toy_options)
    one = 'model.decode_head.out_channels=1'
    assert call_tool('test.py', TOY_CONFIG, trained[0] / 'iter_2.pth', *options, one) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith('test.py: error: --tta would predict the foreground everywhere: ')


@pytest.mark.slow
def test_the_config_of_a_resumed_training_can_be_tested(trained, scored, run_tool, tmp_path):
    """It says resume=True, by which MMEngine would build the training."""
    config = tmp_path / 'resumed.py'
    dumped = trained[0] / TOY_CONFIG.rpartition('/')[2]
    config.write_text(f'{dumped.read_text()}\nresume = True\n')
    nowhere = 'train_dataloader.dataset.data_root=/none'
    done = run_tool(
        'test.py', config, trained[0] / 'iter_2.pth', '--work-dir', tmp_path,
        '--cfg-options', nowhere,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert 'resumed epoch' not in done.stdout + done.stderr


@pytest.mark.parametrize('workers', [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_bad_label_map_is_one_line(
    call_tool, capsys, trained, toy_data, toy_options, tmp_path, workers
):
    root = shutil.copytree(toy_data, tmp_path / 'toy')
    label = next(root.glob('gtFine/val/*/*labelTrainIds.png'))
    label.write_bytes(b'')
    options = [option.replace(str(toy_data), str(root)) for option in toy_options]
    options += [
        f'test_dataloader.num_workers={workers}',
        f'test_dataloader.persistent_workers={workers > 0}',
    ]
    checkpoint = trained[0] / 'iter_2.pth'
    assert call_tool('test.py', TOY_CONFIG, checkpoint, '--work-dir', tmp_path, *options) == 2
    error = capsys.readouterr().err
    assert 'Traceback' not in error
    assert re.match(rf'test.py: error: {label} of .*: an empty file', error.splitlines()[-1])
