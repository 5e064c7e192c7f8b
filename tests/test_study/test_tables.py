"""Tables of a study."""

import dataclasses
import re

import pytest
from study_results import made_plan, write_study

from mmseg_imbalance.study import (
    Results,
    class_table,
    cost_table,
    gain_table,
    summary_table,
    tuning_table,
)


@pytest.fixture
def results(tmp_path):
    write_study(tmp_path)
    return Results.read(made_plan(), tmp_path)


def rows(table):
    """Cells by method and column, as the Markdown shows them."""
    lines = [re.split(r' *\| *', line.strip('| \n')) for line in table.to_markdown().splitlines()]
    header, _, *body = lines
    return {line[0]: dict(zip(header, line, strict=True)) for line in body}


def test_summary(results):
    found = rows(summary_table(results))
    assert list(found) == ['cross-entropy', 'focal loss', 'recall loss']
    assert found['recall loss'] == {
        'method': 'recall loss',
        'mIoU': '**54.0** ± 0.0',
        'mAcc': '**76.3** ± 2.4',
        'mPrecision': '70.5 ± 0.7',
        'tail IoU': '**21.0** ± 1.4',
        'tail recall': '**65.0** ± 7.1',
        'mIoU, TTA': '**55.0** ± 0.0',
        'mAcc, TTA': '**77.3** ± 2.4',
    }
    assert found['cross-entropy']['tail IoU'] == '8.0 ± 2.8'


def test_chosen_methods_only(results):
    chosen = [results.plan.methods['recall']]
    for table in (summary_table, gain_table, cost_table):
        assert list(rows(table(results, chosen))) == ['recall loss']
    assert list(rows(class_table(results, 'IoU', chosen))) == ['recall loss']


def test_gains_have_their_sign(results):
    found = rows(gain_table(results))
    assert list(found) == ['focal loss', 'recall loss']
    assert found['recall loss']['tail IoU'] == '**+13.0** ± 1.4'
    assert found['focal loss']['mAcc'] == '-0.7 ± 0.9'


def test_classes_from_the_rarest_on(results):
    found = rows(class_table(results, 'IoU'))
    assert list(found['recall loss']) == ['method', 'pole, 1 %', 'car, 19 %', 'road, 80 %']
    assert found['recall loss']['pole, 1 %'] == '**21.0** ± 1.4'
    recall = rows(class_table(results, 'Acc'))
    assert recall['recall loss']['pole, 1 %'] == '**65.0** ± 7.1'


def test_cost_is_a_multiple_of_the_baselines(results):
    lines = cost_table(results).to_markdown().splitlines()
    assert lines[3] == '| focal loss | 0.550 | 1.10 | 1100 | 1.10 |'
    assert lines[4] == '| recall loss | 0.600 | 1.20 | 900 | 0.90 |'


def test_memory_may_be_unknown(tmp_path):
    for record in write_study(tmp_path):
        if record.trial.stage == 'cost':
            dataclasses.replace(record, memory=None).write(tmp_path)
    results = Results.read(made_plan(), tmp_path)
    assert (
        cost_table(results).to_markdown().splitlines()[3] == '| focal loss | 0.550 | 1.10 | – | – |'
    )


def test_tuning_shows_all_and_marks_the_choice(results):
    lines = tuning_table(results).to_markdown().splitlines()
    assert lines[2:] == [
        '| focal loss | gamma 2.0 | 50.0 | 58.3 |',
        '| focal loss | gamma 1.0 | **50.3** | **58.3** |',
    ]
