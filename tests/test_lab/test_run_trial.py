"""What is in the way of a trial; tests/test_tools/test_study.py has whole ones."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from study_results import made_plan

from lab.study.plan import Trial
from lab.study.run_trial import Workshop, run_trial
from mmseg_imbalance.utils.errors import ToolError


class SilentWorkshop(Workshop):
    """One whose tools end well, and leave nothing."""

    def config(self, trial):
        return Config(dict(model=dict(), train_cfg=dict(max_iters=4)))

    def run(self, trial, tool, *arguments, watch):
        return 1.0


@pytest.fixture
def workshop(tmp_path):
    return SilentWorkshop(Path('tools'), tmp_path, torch.device('cpu'), 1)


@pytest.fixture
def trial():
    return next(made_plan().trials('tune'))


def test_a_folder_of_something_else_is_left_alone(workshop, trial):
    log = workshop.folder(trial) / '20260101_000000' / 'vis_data' / 'scalars.json'
    log.parent.mkdir(parents=True)
    log.write_text('theirs')
    with pytest.raises(ToolError, match=r'focal_gamma-2.0 holds a training of something else'):
        run_trial(workshop, trial, lambda done, total: True)
    assert log.read_text() == 'theirs' and len(list(workshop.folder(trial).iterdir())) == 1


@pytest.mark.parametrize('text', ['{"stage": "tune", "width": 1}', '[1]'])
def test_the_note_of_another_version_is_named(text, workshop, trial):
    note = workshop.folder(trial) / 'trial.json'
    note.parent.mkdir(parents=True)
    note.write_text(text)
    with pytest.raises(ToolError, match=r'trial.json is not of a trial \(.*\); delete .*2.0$'):
        run_trial(workshop, trial, lambda done, total: True)
    assert note.read_text() == text


def test_a_training_without_scores_is_named(workshop, trial):
    with pytest.raises(ToolError, match=r'tune/focal_gamma-2.0: .*it has no run.json, .*') as error:
        run_trial(workshop, trial, lambda done, total: True)
    assert error.value.exit_code == 1


def test_missing_data_are_named_before_images_are_held_out(tmp_path):
    roots = {f'{stage}_dataloader.dataset.data_root': '/none' for stage in ('train', 'val')}
    config = 'cross_entropy/ce_deeplabv3-mobilenet-v2-d16_1xb4-1k_clothing-384x256.py'
    held_out = Trial('tune', 'ce', 0, config, roots, hold_out={'listed': 'splits/held_out.txt'})
    workshop = Workshop(Path('tools'), tmp_path, torch.device('cpu'), 1)
    with pytest.raises(ToolError, match='data not found: /none'):
        workshop.config(held_out)
