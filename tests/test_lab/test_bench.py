"""What a bench takes on; tests/test_tools/test_study.py lets it work."""

from pathlib import Path

import pytest
from study_results import GAMMA, made_plan, made_record, write_study

from lab.study.bench import Bench
from lab.study.plan import Method
from mmseg_imbalance.utils.errors import ToolError


def made_bench(folder, plan=None, **asked):
    return Bench(plan or made_plan(), Path('tools'), folder / 'work', folder, **asked)


def test_what_has_a_record_is_done(tmp_path):
    write_study(tmp_path)
    assert list(made_bench(tmp_path).preview()) == []
    assert made_bench(tmp_path, stages=['tune', 'train']).carry_out()[0].name == 'report.md'


def test_trainings_share_the_cores_that_the_process_may_use(tmp_path, monkeypatch):
    monkeypatch.setattr('os.sched_getaffinity', lambda process: {1, 3, 4, 6}, raising=False)
    assert [made_bench(tmp_path).workshop(jobs).threads for jobs in (1, 2, 3, 8)] == [4, 2, 1, 1]


@pytest.fixture
def twins(tmp_path):
    """A plan with two names for one training, once gamma is chosen."""
    write_study(tmp_path)
    return made_plan(twin=Method('twin', 'twin', 'baselines/focal', {GAMMA: 2.0}))


def test_what_is_trained_under_another_name_is_named(tmp_path, twins, monkeypatch):
    """Rather than nothing being done, and all said to be well."""
    monkeypatch.setattr('lab.study.bench.write_report', lambda *_: [tmp_path / 'report.md'])
    text = 'train twin: with the chosen values it is the same as focal; ask for focal'
    bench = made_bench(tmp_path, twins, stages=['train'], methods=['twin', 'recall'])
    assert list(bench.preview()) == [text]
    assert bench.carry_out() and bench.failed == [text]
    both = made_bench(tmp_path, twins, stages=['train', 'cost'], methods=['twin', 'focal'])
    assert both.carry_out() and not both.failed
    everything = made_bench(tmp_path, twins)
    assert everything.carry_out() and not everything.failed


def test_what_is_another_training_once_chosen_is_carried_out(tmp_path, twins):
    made_record('focal', stage='tune', choice={GAMMA: 1.0}, iou=(99,) * 3).write(tmp_path)
    for path in tmp_path.glob('*/focal*.json'):
        if path.parent.name != 'tune':
            path.unlink()
    bench = made_bench(tmp_path, twins, stages=['cost'], methods=['twin'])
    assert list(bench.preview()) == ['cost twin']


def test_there_are_no_predictions_of_what_was_not_trained(tmp_path, twins):
    with pytest.raises(ToolError, match='no training of twin has results'):
        made_bench(tmp_path, twins, methods=['twin']).draw_predictions()
