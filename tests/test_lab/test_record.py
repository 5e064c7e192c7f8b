"""Records of trials."""

import dataclasses
import json

import numpy as np
import pytest
from study_results import made_plan, made_record

from lab.study.record import Record, find_record, read_records
from mmseg_imbalance.utils.errors import ToolError


def test_what_is_written_is_read(tmp_path):
    record = made_record('recall', 2)
    path = record.write(tmp_path)
    assert path == tmp_path / 'train' / 'recall_seed2.json'
    found = Record.read(path)
    steps, losses = found.run.curves['loss']
    assert steps.tolist() == [1, 2] and losses.tolist() == [2.5, 1.25]
    plain = dataclasses.replace(found.run, curves={}, settings={})
    assert plain == dataclasses.replace(record.run, curves={}, settings={})
    assert dataclasses.replace(found, run=None) == dataclasses.replace(record, run=None)
    assert path.stat().st_size < 5000


def test_undefined_scores_survive(tmp_path):
    record = made_record(iou=(90, 50, float('nan')))
    record = dataclasses.replace(record, augmented={'mIoU': float('nan'), 'mAcc': 3.0})
    path = record.write(tmp_path)
    assert 'NaN' not in path.read_text()
    found = Record.read(path)
    assert np.isnan(found.run.scores['IoU']['pole']) and np.isnan(found.augmented['mIoU'])
    assert np.isnan(found.run.means['mIoU']) and found.augmented['mAcc'] == 3.0


def test_cost_alone(tmp_path):
    record = made_record(stage='cost', run=None, seconds=0.25, memory=812.0)
    assert Record.read(record.write(tmp_path)) == record


def test_found_if_it_is_of_the_same_trial(tmp_path):
    record = made_record()
    assert find_record(tmp_path, record.trial) is None
    record.write(tmp_path)
    assert find_record(tmp_path, record.trial).trial == record.trial


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        ({'options': {'a.b': 2}}, '(a.b=1, now 2)'),
        ({'options': {}}, '(a.b=1, now None)'),
        ({'options': {'a.b': 1, 'c': 3}}, '(c=None, now 3)'),
        ({'config': 'other.py'}, '(config=cross_entropy/ce_net_data.py, now other.py)'),
        ({'amp': True}, '(amp=False, now True)'),
        ({'gpus': 4}, '(gpus=1, now 4)'),
    ],
)
def test_results_of_other_settings_are_no_results(tmp_path, change, words):
    plan = dataclasses.replace(made_plan(), options={'a.b': 1})
    record = made_record(plan=plan)
    path = record.write(tmp_path)
    trial = dataclasses.replace(record.trial, **change)
    with pytest.raises(ToolError, match='of other settings') as error:
        find_record(tmp_path, trial)
    assert words in str(error.value) and str(path) in str(error.value)


def test_a_loss_that_is_not_finite_is_unknown(tmp_path):
    record = made_record()
    record.run.curves['loss'] = (np.array([1, 2, 3]), np.array([1.5, np.nan, np.inf]))
    path = record.write(tmp_path)
    assert json.loads(path.read_text())['loss'] == [[1, 1.5], [2, None], [3, None]]
    steps, losses = Record.read(path).run.curves['loss']
    assert steps.tolist() == [1, 2, 3] and np.isnan(losses).tolist() == [False, True, True]


@pytest.mark.parametrize(
    'damage',
    [
        lambda text: text[:-200],
        lambda text: '',
        lambda text: '[]',
        lambda text: text.replace('"means"', '"maens"'),
        lambda text: text.replace('"seed"', '"sede"', 1),
    ],
)
def test_damaged_files_are_named(tmp_path, damage):
    record = made_record()
    path = record.write(tmp_path)
    path.write_text(damage(path.read_text()))
    with pytest.raises(ToolError, match=r'ce_seed0\.json is damaged'):
        read_records(tmp_path, 'train')


def test_records_of_a_stage_are_sorted(tmp_path):
    for method, stage in (('recall', 'train'), ('ce', 'train'), ('ce', 'cost')):
        made_record(method, stage=stage).write(tmp_path)
    assert [r.trial.method for r in read_records(tmp_path, 'train')] == ['ce', 'recall']
    assert read_records(tmp_path, 'tune') == []
