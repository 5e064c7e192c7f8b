"""tools/test.py as users run it."""

import re

import cv2
import numpy as np
import pytest

TOY_CONFIG = 'configs/recall_loss/recall_deeplabv3-r18-d8_1xb8-800_toy-streets-128x256.py'


def miou(log):
    return float(re.search(r'Iter\(test\).*mIoU: (\S+)', log)[1])


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
    plain = run_tool('test.py', TOY_CONFIG, checkpoint, '--work-dir', tmp_path, *toy_options)
    assert plain.returncode == 0, plain.stderr
    assert miou(plain.stdout + plain.stderr) != miou(scored[1])


def test_bad_input_is_one_line_and_exit_code_2(run_tool):
    done = run_tool('test.py', TOY_CONFIG, 'none.pth')
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if 'Warning' not in line]
    assert line == 'test.py: error: checkpoint not found: none.pth'


def test_other_bad_input(call_tool, capsys, trained):
    assert call_tool('test.py', 'configs/none.py', 'none.pth') == 2
    message = 'test.py: error: config file not found: configs/none.py\n'
    assert capsys.readouterr().err == message
    nowhere = ['--cfg-options', 'test_dataloader.dataset.data_root=/none']
    assert call_tool('test.py', TOY_CONFIG, trained[0] / 'iter_2.pth', *nowhere) == 2
    assert 'data not found: /none' in capsys.readouterr().err


def test_help_shows_an_example(call_tool, capsys):
    assert call_tool('test.py', '--help') == 0
    assert 'python tools/test.py configs/' in capsys.readouterr().out
