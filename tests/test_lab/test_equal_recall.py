"""Methods at one recall of the frequent classes."""

import dataclasses

import pytest
from study_results import made_plan, made_record
from table_rows import rows

from lab.study.equal_recall import equal_recall_figure, equal_recall_table
from lab.study.record import read_records
from lab.study.report import report, write_report
from lab.study.results import Results

KEYS = ('tau', 'mAcc_head', 'mIoU', 'mIoU_tail', 'mAcc_tail')
# a network over tau: recall of the head, mIoU, IoU and recall of the tail
CURVES = {
    ('ce', 'A'): [(-1, 92, 40, 1, 2), (0, 90, 50, 5, 10), (1, 87, 60, 20, 40)],
    ('ce', 'B'): [(-1, 84, 20, 0, 0), (0, 80, 30, 9, 20), (1, 78, 20, 7, 60)],
    ('recall', 'A'): [(-1, 90, 52, 15, 30), (0, 88, 58, 25, 50), (1, 80, 50, 20, 70)],
    ('recall', 'B'): [(-1, 81, 36, 11, 40), (0, 75.5, 40, 19, 60), (1, 70, 30, 7, 80)],
    ('focal', 'A'): [(-1, 89, 70, 70, 70), (0, 88, 60, 60, 60), (1, 88, 60, 60, 60)],
    ('focal', 'B'): [(-1, 79, 70, 70, 70), (0, 70, 60, 60, 60), (1, 70, 60, 60, 60)],
}


@pytest.fixture
def study(tmp_path):
    plan = dataclasses.replace(made_plan(), hold_out=[{'match': 'A'}, {'match': 'B'}])
    for key in ('ce', 'recall'):
        made_record(key, plan=plan).write(tmp_path)
    for trial in plan.trials('calibrate'):
        curve = CURVES[trial.method, trial.fold]
        tradeoff = [dict(zip(KEYS, point, strict=True)) for point in curve]
        record = made_record('ce', plan=plan, run=None, augmented={}, tradeoff=tradeoff)
        dataclasses.replace(record, trial=trial).write(tmp_path)
    return plan, tmp_path


def cells(table):
    return {name: list(row.values())[1:] for name, row in rows(table).items()}


def test_the_best_that_keeps_the_recall_of_the_baseline(study):
    table = equal_recall_table(Results.read(*study))
    assert table.header == ['method'] + [
        f'{mean}, ≤ {lost} lost'
        for mean in ('mIoU', 'tail IoU', 'tail recall')
        for lost in (0, 2, 5)
    ]
    found = cells(table)
    # at tau 0 or below it, where the head keeps 90 and 80; then 88 and 78; then 85 and 75
    assert found['cross-entropy'] == [
        '40.0', '40.0', '45.0', '7.0', '7.0', '14.5', '15.0', '35.0', '50.0'
    ]  # fmt: skip
    assert found['recall loss'] == [
        '**44.0**', '47.0', '49.0', '**13.0**', '18.0', '22.0', '**35.0**', '45.0', '55.0'
    ]  # fmt: skip
    # focal loss never has the recall of the baseline in A, nor in B
    assert found['focal loss'][0] == '–'
    assert found['focal loss'][1:3] == ['**70.0**', '**70.0**']


def test_methods_that_were_not_calibrated_on_every_part_are_left_out(study):
    plan, folder = study
    (folder / 'calibrate/recall_without-B.json').unlink()
    assert list(cells(equal_recall_table(Results.read(plan, folder)))) == [
        'cross-entropy', 'focal loss'
    ]  # fmt: skip
    (folder / 'calibrate/ce_without-A.json').unlink()
    results = Results.read(plan, folder)
    assert not equal_recall_table(results).rows
    files = write_report(results, folder / 'report')
    assert 'equal_recall.png' not in {path.name for path in files}


def test_the_figure_has_means_over_the_parts_and_marks_the_network_as_it_is(study):
    plan, folder = study
    results = Results.read(plan, folder)
    left, right = equal_recall_figure(results, results.methods).axes
    lines = [line for line in left.lines if len(line.get_xdata()) > 1]
    assert [line.get_label() for line in lines] == ['cross-entropy', 'recall loss']
    assert lines[0].get_xdata().tolist() == [88, 85, 82.5]
    assert lines[0].get_ydata().tolist() == [30, 40, 40]
    marks = [line for line in right.lines if len(line.get_xdata()) == 1]
    assert [(m.get_xdata()[0], m.get_ydata()[0]) for m in marks] == [(85, 7), (81.75, 22)]
    assert left.get_xlabel() == 'recall of the frequent classes (%)'
    files = write_report(results, folder / 'report')
    assert 'equal_recall.png' in {path.name for path in files}
    shown = report(results)
    assert '## Best scores of the held-out images over tau' in shown
    assert '(equal_recall.png)' in shown


@pytest.mark.parametrize(('lacking', 'compared'), [('mIoU_tail', True), ('mAcc_head', False)])
def test_without_a_tail_or_a_head(study, lacking, compared):
    plan, folder = study
    for record in read_records(folder, 'calibrate'):
        tradeoff = [{k: v for k, v in point.items() if k != lacking} for point in record.tradeoff]
        dataclasses.replace(record, tradeoff=tradeoff).write(folder)
    results = Results.read(plan, folder)
    found = cells(equal_recall_table(results))
    assert bool(found) == compared
    files = {path.name for path in write_report(results, folder / 'report')}
    assert ('equal_recall.png' in files) == compared
    if compared:
        assert found['cross-entropy'][3:6] == ['–'] * 3 and found['cross-entropy'][0] == '40.0'
