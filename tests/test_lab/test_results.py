"""Records side by side."""

import dataclasses

import pytest
from study_results import GAMMA, made_plan, made_record, write_study

from lab.study.plan import Method
from lab.study.results import Results
from mmseg_imbalance.utils.errors import ToolError


@pytest.fixture
def results(tmp_path):
    write_study(tmp_path)
    return Results.read(made_plan(), tmp_path)


def method(results, key):
    return results.plan.methods[key]


def test_gains_of_seeds_that_the_baseline_lacks_do_not_count(tmp_path):
    write_study(tmp_path)
    (tmp_path / 'train' / 'ce_seed1.json').unlink()
    results = Results.read(made_plan(), tmp_path)
    assert results.gain(method(results, 'recall'), 'mIoU_tail')[::2] == (12.0, 1)
    assert results.gain(method(results, 'recall'), 'mIoU_tail', relative=True).mean == 120.0


def test_who_is_dominated(tmp_path):
    points = {'ce': (50, 40), 'focal': (60, 30), 'recall': (55, 35)}
    for key, (accuracy, iou) in points.items():
        made_record(key, iou=(iou,) * 3, acc=(accuracy,) * 3).write(tmp_path)
    results = Results.read(made_plan(), tmp_path)
    assert results.dominated(method(results, 'recall')) == []
    made_record('recall', iou=(29,) * 3, acc=(55,) * 3).write(tmp_path)
    results = Results.read(made_plan(), tmp_path)
    assert [m.key for m in results.dominated(method(results, 'recall'))] == ['focal']
    # another method of the project is no baseline
    assert results.dominated(method(results, 'focal')) == []


def test_tunings_of_something_else_are_left_out(tmp_path):
    write_study(tmp_path)
    record = made_record('focal', stage='tune', choice={GAMMA: 1.0})
    trial = dataclasses.replace(record.trial, options={**record.trial.options, 'lr': 5})
    dataclasses.replace(record, trial=trial).write(tmp_path)  # in the place of the plan's own
    results = Results.read(made_plan(), tmp_path)
    assert [r.trial.choice for r in results.tuned] == [{GAMMA: 2.0}]


def test_methods_without_results_are_left_out(tmp_path):
    made_record('ce').write(tmp_path)
    results = Results.read(made_plan(), tmp_path)
    assert [m.key for m in results.methods] == ['ce']


def test_seeds_outside_the_plan_are_left_out(tmp_path):
    for seed in (0, 1, 2):
        made_record('ce', seed).write(tmp_path)
    results = Results.read(made_plan(seeds=(0, 2)), tmp_path)
    assert [r.trial.seed for r in results.trained['ce']] == [0, 2]


def test_without_the_baseline_there_is_nothing_to_compare(tmp_path):
    made_record('recall').write(tmp_path)
    with pytest.raises(ToolError, match='has no result of ce'):
        Results.read(made_plan(), tmp_path)


def test_methods_that_the_plan_does_not_have_are_left_out(tmp_path):
    made_record('ce').write(tmp_path)
    other = made_plan(nobody=Method('nobody', 'Nobody', 'no/body'))
    made_record('nobody', plan=other).write(tmp_path)
    assert list(Results.read(made_plan(), tmp_path).trained) == ['ce']


@pytest.mark.parametrize('stage', ['train', 'cost'])
def test_results_of_other_settings_are_refused(tmp_path, stage):
    made_record('ce').write(tmp_path)
    record = made_record('ce', stage=stage, seconds=1.0)
    trial = dataclasses.replace(record.trial, options={'lr': 5})
    dataclasses.replace(record, trial=trial).write(tmp_path)
    with pytest.raises(ToolError, match=r'is of other settings \(lr=5, now None\)'):
        Results.read(made_plan(), tmp_path)


def test_results_trained_before_the_choice_are_refused(tmp_path):
    """As if tuning had been repeated and had ended otherwise."""
    write_study(tmp_path)
    made_record('focal', stage='tune', choice={GAMMA: 1.0}, iou=(99,) * 3).write(tmp_path)
    with pytest.raises(ToolError, match=r'focal_seed0.json is of other settings \(.*gamma=2.0'):
        Results.read(made_plan(), tmp_path)
