"""Class offsets from the command line, and calibrated models in all tools that predict."""

import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from checkpoint_files import load
from conftest import TOY_CONFIG
from mmseg.apis import MMSegInferencer
from mmseg.registry import DATASETS
from squeezed import squeezed

from mmseg_imbalance.calibration import (
    Calibration,
    ClassOffsets,
    HeldOutPixels,
    Objective,
    calibrate,
)
from mmseg_imbalance.datasets.toy_streets import ToyStreetsDataset
from mmseg_imbalance.evaluation import Scores, class_groups

TOOL = 'analysis_tools/calibrate_classes.py'
CLASSES = ToyStreetsDataset.METAINFO['classes']


def names(toy_data, split, folder):
    """Writes the list of the images of a split."""
    images = sorted((toy_data / 'leftImg8bit' / split).rglob('*.png'))
    listed = [f'{i.parent.name}/{i.name.removesuffix("_leftImg8bit.png")}' for i in images]
    path = folder / f'{split}.txt'
    path.write_text('\n'.join(listed))
    return path


@pytest.fixture(scope='module')
def several(trained, tmp_path_factory):
    """The trained checkpoint, its last layer so large that every image shows several classes."""
    state = load(trained[0] / 'iter_2.pth')
    weights, random = state['state_dict'], torch.Generator().manual_seed(0)
    shape = weights['decode_head.conv_seg.weight'].shape
    weights['decode_head.conv_seg.weight'] = torch.randn(shape, generator=random)
    path = tmp_path_factory.mktemp('several') / 'several.pth'
    torch.save(state, path)
    return path


@pytest.fixture(scope='module')
def training_pixels(toy_data):
    """The training pixels of every class."""
    maps = [cv2.imread(str(p), -1) for p in (toy_data / 'gtFine/train').rglob('*TrainIds.png')]
    return np.bincount(np.concatenate(maps, None), minlength=256)[:10].clip(1)


@pytest.fixture(scope='module')
def calibrated(run_tool, several, toy_data, toy_options, tmp_path_factory):
    """A calibration on the validation images: its file, and its output."""
    folder = tmp_path_factory.mktemp('calibrated')
    done = run_tool(
        TOOL, TOY_CONFIG, several, '--ann-file', names(toy_data, 'val', folder), '--split', 'val',
        '--out', folder / 'offsets.json', '--maximize', 'mAcc', '--pixels', 2_000_000, *toy_options,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder / 'offsets.json', done.stdout


@pytest.mark.elsewhere
def test_the_file_holds_what_the_library_finds_in_logits(
    calibrated, several, training_pixels, toy_data
):
    pixels = HeldOutPixels(training_pixels, 2_000_000)
    inferencer = MMSegInferencer(TOY_CONFIG, str(several), device='cpu')
    images = sorted((toy_data / 'leftImg8bit/val').rglob('*.png'))
    for i, image in enumerate(images):
        logits = inferencer(str(image), return_datasamples=True).seg_logits.data[None]
        label = str(image).replace('leftImg8bit/', 'gtFine/').replace(
            'leftImg8bit.png', 'gtFine_labelTrainIds.png'
        )  # fmt: skip
        label = torch.from_numpy(cv2.imread(label, cv2.IMREAD_UNCHANGED))[None]
        pixels.update(logits, label, half=2 * i >= len(images))
    found = calibrate(pixels, Objective('recall', pixels.images > 0))
    content = json.loads(calibrated[0].read_text())
    assert content['kind'] == found.kind and content['tau'] == found.tau
    assert content['other_half'] == pytest.approx(found.checked)
    assert content['offsets'] == pytest.approx(found.offsets[found.kind].tolist())
    assert tuple(content['classes']) == CLASSES
    for kind, offsets in found.offsets.items():
        confusion = pixels.sample().confusion(offsets)  # of all pixels
        np.testing.assert_array_equal(confusion, found.confusions[kind])
        assert content['means'][kind]['mIoU'] == Scores(CLASSES, confusion).means()['mIoU']
    assert [point['tau'] for point in content['tradeoff']] == list(pixels.taus)
    share = training_pixels / training_pixels.sum()
    for point, offsets in zip(content['tradeoff'], pixels.tau_offsets, strict=True):
        confusion = pixels.sample().confusion(offsets)
        means = Scores(CLASSES, confusion, share, class_groups(share)).means()
        assert {key: point[key] for key in point if key != 'tau'} == {
            key: means[key]
            for key in ('aAcc', 'mIoU', 'mAcc', 'mAcc_head', 'mIoU_tail', 'mAcc_tail')
        }


def test_the_output_says_what_came_of_it(calibrated):
    file, said = calibrated
    assert '3 images are of val_dataloader: do not report' in said
    assert 'scores of the 3 images of' in said
    assert 'No offsets raise mAcc' in said  # the weights are random
    figure = cv2.imread(str(file.with_suffix('.png')))
    assert figure.shape[1] > 300 and figure.min() < 100


def test_images_twice_and_another_kind_of_file(
    several, toy_data, toy_options, tmp_path, call_tool, capsys
):
    listed = names(toy_data, 'val', tmp_path)
    listed.write_text(listed.read_text() + '\n' + listed.read_text().splitlines()[0])
    for out, message in (('a.json', 'lists 1 images twice'), ('a.png', 'must end in .json')):
        args = ('--ann-file', listed, '--split', 'val', '--out', tmp_path / out, *toy_options)
        assert call_tool(TOOL, TOY_CONFIG, several, *args) == 2
        assert message in capsys.readouterr().err and not (tmp_path / out).exists()


@DATASETS.register_module()
class WholeFolder(ToyStreetsDataset):
    """Lists its folder, whatever ``ann_file`` says, as MMSegmentation's NYUDataset does."""

    def load_data_list(self):
        self.ann_file = ''
        return super().load_data_list()


def test_a_data_set_that_does_not_read_the_list(
    several, toy_data, toy_options, tmp_path, call_tool, capsys
):
    listed = names(toy_data, 'val', tmp_path)
    listed.write_text(listed.read_text().splitlines()[0])
    options = [*toy_options, 'val_dataloader.dataset.type=WholeFolder']
    args = ('--ann-file', listed, '--split', 'val', '--out', tmp_path / 'a.json', *options)
    assert call_tool(TOOL, TOY_CONFIG, several, *args) == 2
    assert f'WholeFolder has 3 images, but {listed} lists 1' in capsys.readouterr().err


def test_an_unwritable_file_is_noticed_before_predicting(
    several, toy_data, toy_options, tmp_path, call_tool, capsys
):
    (tmp_path / 'file').touch()
    out = tmp_path / 'file/a.json'
    args = ('--ann-file', names(toy_data, 'val', tmp_path), '--split', 'val', '--out', out)
    assert call_tool(TOOL, TOY_CONFIG, several, *args, *toy_options) == 2
    assert f'--out {out} cannot be written' in capsys.readouterr().err.splitlines()[-1]


def test_another_order_of_the_classes(several, toy_data, toy_options, tmp_path, call_tool, capsys):
    listed, (first, second, *others) = names(toy_data, 'val', tmp_path), CLASSES
    order = f'[{",".join([second, first, *others])}]'
    options = [*toy_options, f'val_dataloader.dataset.metainfo.classes={order}']
    args = ('--ann-file', listed, '--split', 'val', '--out', tmp_path / 'a.json', *options)
    assert call_tool(TOOL, TOY_CONFIG, several, *args) == 2
    assert 'they need one order' in capsys.readouterr().err


def test_the_conclusion_says_what_is_gained():
    conclude = runpy.run_path(f'tools/{TOOL}')['conclusion']
    args = SimpleNamespace(maximize='mIoU')
    found = Calibration('tau', 0.5, {}, {}, dict(none=0.5, tau=0.523, **{'class': 0.51}))
    assert 'Taken: one tau. It raises mIoU from 50.0 to 52.3 on' in conclude(found, args)
    found.checked['none'] = -0.6  # too imprecise
    assert 'It raises mIoU to 52.3 on' in conclude(found, args)


def test_means_that_only_some_offsets_define():
    """No class of the tail is there, and only one kind of offsets predicts some of it."""
    means = {kind: dict(mIoU=50.0) for kind in ('none', 'tau', 'class')}
    means['tau']['mIoU_tail'] = 0.0
    found = Calibration('tau', 0.5, {}, {}, dict.fromkeys(means, 0.5))
    write = runpy.run_path(f'tools/{TOOL}')['score_table']
    table = write(means, found, SimpleNamespace(maximize='mIoU'))
    _, _, none, tau, _ = squeezed(table).splitlines()
    assert none.endswith('| 50.0 | – | 50.0 |') and tau.endswith('| 50.0 | 0.0 | 50.0 |')


@pytest.fixture(scope='module')
def offsets(tmp_path_factory):
    """A file of large offsets."""
    path = tmp_path_factory.mktemp('offsets') / 'offsets.json'
    values = np.random.default_rng(0).normal(0, 2, 10)
    ClassOffsets(CLASSES, values.tolist()).save(path)
    return path


@pytest.fixture(scope='module')
def with_bias(several, offsets, tmp_path_factory):
    """A checkpoint whose last bias has these offsets in it: it predicts what they make of it."""
    state = load(several)
    state['state_dict']['decode_head.conv_seg.bias'] += torch.tensor(
        ClassOffsets.load(offsets).offsets
    )
    path = tmp_path_factory.mktemp('bias') / 'bias.pth'
    torch.save(state, path)
    return path


def label_maps(folder):
    return np.stack(
        [cv2.imread(str(p), cv2.IMREAD_UNCHANGED) for p in sorted(folder.rglob('*.png'))]
    )


@pytest.mark.parametrize('tta', [(), ('--tta',)], ids=['plain', 'tta'])
def test_a_test_predicts_as_if_the_last_bias_had_the_offsets(
    run_tool, several, with_bias, offsets, toy_options, tmp_path, tta
):
    model = ('model.type=CalibratedEncoderDecoder', f'model.offsets={offsets}')
    for name, checkpoint, options in (('a', several, model), ('b', with_bias, ())):
        done = run_tool(
            'test.py', TOY_CONFIG, checkpoint, '--out', tmp_path / name,
            '--work-dir', tmp_path / 'work', *tta, *toy_options, *options,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    found, expected = label_maps(tmp_path / 'a'), label_maps(tmp_path / 'b')
    assert (found != expected).mean() < 1e-4 and len(np.unique(found)) > 2


@pytest.mark.elsewhere
def test_a_config_of_three_lines_serves_inferencer_demo_and_tensors(
    call_tool, several, with_bias, offsets, toy_data, tmp_path
):
    config = tmp_path / 'calibrated.py'
    config.write_text(
        f"_base_ = '{Path(TOY_CONFIG).resolve()}'\n"
        f"model = dict(type='CalibratedEncoderDecoder', offsets='{offsets}')\n"
    )
    image = min((toy_data / 'leftImg8bit/val').rglob('*.png'))
    found, expected = (
        MMSegInferencer(str(cfg), str(path), device='cpu')
        for cfg, path in ((config, several), (TOY_CONFIG, with_bias))
    )
    label = found(str(image))['predictions']
    assert (label != expected(str(image))['predictions']).mean() < 1e-4
    batch = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        traced = torch.jit.trace(found.model, batch)
        torch.testing.assert_close(traced(batch), expected.model(batch), rtol=1e-4, atol=1e-4)

    demo = ('../demo/image_demo.py', image)
    assert call_tool(*demo, config, several, '--out-dir', tmp_path / 'a') == 0
    assert call_tool(*demo, TOY_CONFIG, with_bias, '--out-dir', tmp_path / 'b') == 0
    overlays = label_maps(tmp_path / 'a'), label_maps(tmp_path / 'b')
    assert (overlays[0] != overlays[1]).mean() < 1e-3


@pytest.mark.elsewhere
def test_offsets_of_other_classes_end_a_test(call_tool, capsys, several, toy_options, tmp_path):
    path = tmp_path / 'other.json'
    ClassOffsets(['street', *CLASSES[1:]], [0.0] * 10).save(path)
    options = (*toy_options, 'model.type=CalibratedEncoderDecoder', f'model.offsets={path}')
    assert call_tool('test.py', TOY_CONFIG, several, '--work-dir', tmp_path, *options) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert 'the file of class offsets has the classes street, building' in line
    assert 'has sky, building' in line


@pytest.mark.parametrize(
    'split, more, message',
    (
        ('train', (), '8 of 8 images of {list} are images that the config trains on, such as'),
        ('val', ('model.type=CalibratedEncoderDecoder', 'model.offsets={offsets}'), 'adds offsets'),
        ('test', (), 'list of images not found: {list}'),
    ),
)
def test_images_that_cannot_judge_are_refused(
    call_tool, capsys, several, offsets, toy_data, toy_options, tmp_path, split, more, message
):
    path = tmp_path / 'test.txt' if split == 'test' else names(toy_data, split, tmp_path)
    code = call_tool(
        TOOL, TOY_CONFIG, several, '--ann-file', path, '--out', tmp_path / 'out.json',
        '--split', split.replace('test', 'val'), *toy_options,
        *(option.format(offsets=offsets) for option in more),
    )  # fmt: skip
    assert code == 2 and not (tmp_path / 'out.json').exists()
    assert message.format(list=path) in capsys.readouterr().err.splitlines()[-1]
