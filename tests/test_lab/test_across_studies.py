"""Gains of methods in several studies."""

from dataclasses import replace

import pytest
from study_results import made_plan, made_record, write_study
from table_rows import rows

from lab.study.across_studies import across_studies_table
from lab.study.plan import Method
from lab.study.results import Results


@pytest.fixture
def results(tmp_path):
    write_study(tmp_path)
    return Results.read(made_plan(), tmp_path)


def test_cells_have_the_gains_of_three_scores(results):
    found = rows(across_studies_table({'A': results, 'B': results}, ['focal', 'recall']))
    assert list(found) == ['focal loss', 'recall loss']
    # mIoU 54, 54 against 50, 50; tail 22, 20 against 10, 6; aAcc is that of the seed
    assert found['recall loss']['A'] == '+4.0 ± 0.0 / +13.0 / +0.0'
    assert found['recall loss']['B'] == found['recall loss']['A']


def test_missing_seeds_show(tmp_path):
    write_study(tmp_path)
    (tmp_path / 'train' / 'recall_seed1.json').unlink()
    found = rows(across_studies_table({'A': Results.read(made_plan(), tmp_path)}, ['recall']))
    assert found['recall loss']['A'] == '+4.0 / +12.0 / +0.0 (n = 1)'


def test_what_was_not_trained_is_a_dash(results, tmp_path):
    lmp = Method('lmp', 'LMP', 'loss_max_pooling/lmp')
    planned = replace(results, plan=made_plan(lmp=lmp))
    for record in (made_record('ce', 0), made_record('lmp', 0, plan=planned.plan)):
        record.write(tmp_path / 'other')
    other = Results.read(made_plan(lmp=lmp, seeds=[0]), tmp_path / 'other')
    found = rows(
        across_studies_table(
            {'not in the plan': results, 'not trained': planned, 'trained': other}, ['lmp']
        )
    )
    assert found['LMP'] == {
        'method': 'LMP',
        'not in the plan': '–',
        'not trained': '–',
        'trained': '+0.0 / +0.0 / +0.0',
    }
