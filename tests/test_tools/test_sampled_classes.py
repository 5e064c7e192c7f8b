"""The tool that compares what trainings see, on toy streets and the shipped configs."""

import re
from pathlib import Path

import cv2
import pytest
import torch
from mmengine.config import Config

from mmseg_imbalance.datasets.toy_streets import ToyStreetsDataset

ROOT = Path(__file__).resolve().parents[2]
NAME = 'deeplabv3-r18-d8_1xb8-800_toy-streets-128x256'
PLAIN = f'configs/cross_entropy/ce_{NAME}.py'
BALANCED = f'configs/class_balanced_sampling/ce-cbs_{NAME}.py'
TOOL = 'analysis_tools/sampled_classes.py'


@pytest.fixture
def options(toy_data):
    return [
        '--cfg-options',
        f'train_dataloader.dataset.data_root={toy_data}',
        'train_dataloader.num_workers=0',
        'train_dataloader.persistent_workers=False',
    ]


def test_two_configs_side_by_side(run_tool, options, tmp_path):
    figure = tmp_path / 'sampled classes.png'
    done = run_tool(
        TOOL, PLAIN, BALANCED, '--draws', 20, '--figure', figure, *options, env={'COLUMNS': '200'}
    )
    assert done.returncode == 0, done.stderr
    for header in ('pixels %: label maps', 'pixels %: ce', 'images %: ce-cbs'):
        assert header in done.stdout
    assert re.search(r'bicycle( +\d\S*){6}', done.stdout)
    height, width = cv2.imread(str(figure)).shape[:2]
    assert width > 800 and height > 200


def test_work_dir_of_a_run(run_tool, options, tmp_path):
    """The last class probabilities of the run decide: here one class takes all."""
    work_dir = tmp_path / 'run'
    work_dir.mkdir()
    cfg = Config.fromfile(ROOT / BALANCED)
    cfg.train_dataloader.sampler.class_prob = 'performance'
    cfg.dump(work_dir / 'config.py')
    classes = ToyStreetsDataset.METAINFO['classes']
    schedule = [(0, [0.1] * len(classes)), (5, [float(c == 'bicycle') for c in classes])]
    (work_dir / 'last_checkpoint').write_text(str(work_dir / 'iter_2.pth'))

    def run(classes):
        sampler = dict(classes=list(classes), seed=3, schedule=schedule)
        state = {'state_dict': {}, 'class_feedback': {'sampler': sampler}}
        torch.save(state, work_dir / 'iter_2.pth')
        args = (work_dir, '--draws', 20, *options, 'train_dataloader.sampler.uniform_ratio=0')
        return run_tool(TOOL, *args, env={'COLUMNS': '200'})

    done = run(classes)
    assert done.returncode == 0, done.stderr
    shown = re.search(r'bicycle +\S+ +\S+ +\S+ +(\S+)', done.stdout)[1]
    assert float(shown) > 80  # resizing may lose one
    done = run(classes[::-1])
    assert done.returncode == 2 and 'the checkpoint was sampled by the classes' in done.stderr


def test_what_cannot_be_is_one_line(call_tool, capsys, tmp_path, options):
    unknown = [*options, 'train_dataloader.sampler.uniform_ratio=0.5']
    for args, message in (
        ([tmp_path], 'is not the work dir of a run'),
        ([PLAIN, *unknown], "unexpected keyword argument 'uniform_ratio'"),
        (['none.py'], 'config file not found: none.py'),
        ([PLAIN, PLAIN], 'names are given twice'),
        ([PLAIN, '--draws', 0], "'0' is not a whole number >= 1"),
    ):
        assert call_tool(TOOL, *args) == 2
        assert message in capsys.readouterr().err
