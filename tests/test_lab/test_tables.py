"""Tables of a study."""

import dataclasses

import pytest
from squeezed import squeezed
from study_results import GAMMA, made_plan, made_record, write_study
from table_rows import rows

from lab.study.across_studies import across_studies_table
from lab.study.plan import Method, Target
from lab.study.results import Results
from lab.study.tables import (
    by_images_table,
    calibrated_table,
    class_table,
    cost_table,
    front_table,
    gain_table,
    left_out_table,
    summary_table,
    target_table,
    tuning_table,
)
from mmseg_imbalance.utils.errors import ToolError


@pytest.fixture
def results(tmp_path):
    write_study(tmp_path)
    return Results.read(made_plan(), tmp_path)


def test_summary(results):
    found = rows(summary_table(results))
    assert list(found) == ['cross-entropy', 'focal loss', 'recall loss']
    assert found['recall loss'] == {
        'method': 'recall loss',
        'mIoU': '**54.0** ± 0.0',
        'mAcc': '**76.3** ± 2.4',
        'aAcc': '70.5 ± 0.7',
        'tail IoU': '**21.0** ± 1.4',
        'tail recall': '**65.0** ± 7.1',
        'mIoU, TTA': '**55.0** ± 0.0',
        'mAcc, TTA': '**77.3** ± 2.4',
    }
    assert found['cross-entropy']['tail IoU'] == '8.0 ± 2.8'


def test_the_mean_without_the_background(results):
    def summary(background):
        plan = dataclasses.replace(results.plan, background=background)
        return rows(summary_table(dataclasses.replace(results, plan=plan)))

    recall = [record.run.scores['IoU'] for record in results.trained['recall']]
    expected = sum((iou['car'] + iou['pole']) / 2 for iou in recall) / len(recall)
    assert summary('road')['recall loss']['mIoU without road'].startswith(f'**{expected:.1f}** ±')
    with pytest.raises(ToolError, match="background of the plan is 'sky', which is no class"):
        summary('sky')


def test_chosen_methods_only(results):
    chosen = [results.plan.methods['recall']]
    for table in (summary_table, gain_table, cost_table):
        assert list(rows(table(results, chosen))) == ['recall loss']
    assert list(rows(class_table(results, chosen))) == ['recall loss']


def test_gains_have_their_sign(results):
    found = rows(gain_table(results))
    assert list(found) == ['focal loss', 'recall loss']
    assert found['recall loss']['tail IoU'] == '**+13.0** ± 1.4'
    assert found['focal loss']['mAcc'] == '-0.7 ± 0.9'


def test_classes_from_the_rarest_on(results):
    found = rows(class_table(results))
    assert list(found['recall loss']) == ['method', 'pole, 1 %', 'car, 19 %', 'road, 80 %']
    assert found['recall loss']['pole, 1 %'] == '**21.0** ± 1.4'
    recall = rows(class_table(results, kind='Acc'))
    assert recall['recall loss']['pole, 1 %'] == '**65.0** ± 7.1'


def test_classes_by_the_images_that_hold_them(results, tmp_path):
    assert not by_images_table(results).rows  # nobody said how many
    made_record('ce', 0, images=(100.0, 25.0, 4.9)).write(tmp_path)
    found = rows(by_images_table(Results.read(made_plan(), tmp_path)))
    assert list(found['recall loss']) == ['method', 'under 5 % (1)', '25 % or more (2)']
    assert found['recall loss']['under 5 % (1)'] == '**21.0** ± 1.4'
    assert found['cross-entropy']['25 % or more (2)'] == '**71.0** ± 1.4'
    chosen = [results.plan.methods['focal']]
    assert list(rows(by_images_table(Results.read(made_plan(), tmp_path), chosen))) == [
        'focal loss'
    ]
    # a class that no image holds, and one that one of the runs does not define
    made_record('ce', 0, images=(10.0, 5.0, 0.0)).write(tmp_path)
    found = rows(by_images_table(Results.read(made_plan(), tmp_path)))
    assert list(found['recall loss']) == ['method', '5 to 10 % (1)', '10 to 25 % (1)']
    made_record('ce', 1, iou=(92, float('nan'), 6)).write(tmp_path)
    found = rows(by_images_table(Results.read(made_plan(), tmp_path)))
    assert list(found['recall loss']) == ['method', '10 to 25 % (1)']


def test_cost_is_a_multiple_of_the_baselines(results):
    lines = squeezed(cost_table(results).to_markdown()).splitlines()
    assert lines[3] == '| focal loss | 0.550 | 1.10 | 1100 | 1.10 |'
    assert lines[4] == '| recall loss | 0.600 | 1.20 | 900 | 0.90 |'


@pytest.mark.parametrize(
    ('target', 'expected', 'measured', 'met'),
    [
        (('mIoU_tail', 13.0), '≥ +13.0 points', '+13.0 ± 1.4 points', 'yes'),
        (('mIoU_tail', 13.1), '≥ +13.1 points', '+13.0 ± 1.4 points', 'no'),
        (('mIoU_tail', 14.0, False, True), '≥ +14.0 points - one std', '+13.0 ± 1.4 points', 'yes'),
        (('mIoU_tail', 14.5, False, True), '≥ +14.5 points - one std', '+13.0 ± 1.4 points', 'no'),
        # 21 is 162.5 % more than 8, and the gains of 12 and 14 are 150 and 175 % of 8
        (('mIoU_tail', 160, True), '≥ +160.0 %', '+162.5 ± 17.7 %', 'yes'),
        (('mIoU_tail', 163, True), '≥ +163.0 %', '+162.5 ± 17.7 %', 'no'),
    ],
)
def test_targets(tmp_path, target, expected, measured, met):
    write_study(tmp_path)
    results = Results.read(made_plan(targets=[Target('recall', *target)]), tmp_path)
    row = rows(target_table(results))['recall loss']
    assert row == {
        'method': 'recall loss', 'gain of': 'tail IoU', 'expected': expected,
        'measured': measured, 'met': met,
    }  # fmt: skip


def test_targets_of_methods_without_results_are_left_out(tmp_path):
    write_study(tmp_path)
    lmp = Method('lmp', 'LMP', 'loss_max_pooling/lmp')
    targets = [Target('lmp', 'mIoU', 1.0), Target('recall', 'mIoU', 1.0)]
    results = Results.read(made_plan(targets=targets, lmp=lmp), tmp_path)
    assert list(rows(target_table(results))) == ['recall loss']


def test_targets_of_scores_that_there_are_not_are_left_out(tmp_path):
    """No class is in the tail."""
    for record in write_study(tmp_path):
        if record.run is not None:
            record.run.means.pop('mIoU_tail')
            record.write(tmp_path)
    targets = [Target('recall', 'mIoU_tail', 1.0), Target('recall', 'mIoU', 1.0)]
    results = Results.read(made_plan(targets=targets), tmp_path)
    assert [row[1] for row in target_table(results).rows] == ['mIoU']


def test_front(tmp_path):
    write_study(tmp_path)
    results = Results.read(made_plan(), tmp_path)
    assert rows(front_table(results)) == {
        'recall loss': {
            'method': 'recall loss', 'baselines better in both mIoU and mAcc': 'none'
        }
    }  # fmt: skip
    for seed in (0, 1):
        made_record('recall', seed, iou=(50, 40, 5), acc=(60, 50, 10)).write(tmp_path)
    results = Results.read(made_plan(), tmp_path)
    (row,) = rows(front_table(results)).values()
    assert row['baselines better in both mIoU and mAcc'] == 'cross-entropy; focal loss'


def test_memory_may_be_unknown(tmp_path):
    for record in write_study(tmp_path):
        if record.trial.stage == 'cost':
            dataclasses.replace(record, memory=None).write(tmp_path)
    results = Results.read(made_plan(), tmp_path)
    assert (
        squeezed(cost_table(results).to_markdown()).splitlines()[3]
        == '| focal loss | 0.550 | 1.10 | – | – |'
    )


def test_costs_on_another_machine_are_no_multiples(tmp_path):
    for record in write_study(tmp_path):
        if (record.trial.stage, record.trial.method) == ('cost', 'focal'):
            dataclasses.replace(record, machine={'device': 'a GPU'}).write(tmp_path)
    _, _, _, focal, recall = squeezed(
        cost_table(Results.read(made_plan(), tmp_path)).to_markdown()
    ).splitlines()
    assert focal == '| focal loss | 0.550 | – | 1100 | – |'
    assert recall == '| recall loss | 0.600 | 1.20 | 900 | 0.90 |'


def test_tuning_shows_all_and_marks_the_choice(results):
    lines = squeezed(tuning_table(results).to_markdown()).splitlines()
    assert lines[2:] == [
        '| focal loss | gamma 2.0 | **50.3** | **58.3** |',
        '| focal loss | gamma 1.0 | 50.0 | 58.3 |',
    ]


def test_values_that_are_no_longer_in_the_grid_are_left_out(tmp_path):
    write_study(tmp_path)
    wider = made_plan(focal=Method('focal', 'focal loss', 'baselines/focal', grid={GAMMA: [9.0]}))
    made_record('focal', stage='tune', choice={GAMMA: 9.0}, plan=wider).write(tmp_path)
    results = Results.read(made_plan(), tmp_path)
    assert len(tuning_table(results).rows) == 2


@pytest.fixture
def videos(tmp_path):
    """A study in which two videos are held out in turn, with two learning rates."""
    lr = {'lr': [0.1, 0.2]}
    plan = dataclasses.replace(
        made_plan(
            ce=Method('ce', 'cross-entropy', 'cross_entropy/ce', grid=lr),
            focal=Method('focal', 'focal loss', 'baselines/focal', grid=lr),
        ),
        hold_out=[{'match': 'B'}, {'match': 'A'}],
    )
    pole = {
        ('ce', 0.1): (10, 40),
        ('ce', 0.2): (16, 43),
        ('focal', 0.1): (25, 49),
        ('focal', 0.2): (19, 40),
    }
    for (method, lr), scores in pole.items():
        for trial in plan.trials('tune', {'ce': {'lr': 0.2}}):
            if trial.method == method and trial.choice == {'lr': lr}:
                iou = (90, 50, scores[trial.fold == 'B'])
                record = made_record('ce', iou=iou, acc=(95, 60, 20))
                dataclasses.replace(record, trial=trial).write(tmp_path)
    for record in [made_record('ce', plan=plan), made_record('recall', plan=plan)]:
        options = {**record.trial.options, 'lr': 0.2}
        trial = dataclasses.replace(record.trial, options=options)
        dataclasses.replace(record, trial=trial).write(tmp_path)
    return plan, tmp_path


def test_held_out_videos_one_by_one_and_their_mean(videos):
    plan, folder = videos
    results = Results.read(plan, folder)
    assert results.chosen == {'ce': {'lr': 0.2}, 'focal': {'lr': 0.1}}
    found = rows(left_out_table(results))
    assert list(found) == ['cross-entropy', 'focal loss']
    ce, focal = found.values()
    assert list(ce)[:4] == ['method', 'mIoU, B', 'mIoU, A', 'mIoU']
    assert (ce['mIoU, B'], ce['mIoU, A'], ce['mIoU']) == ('61.0', '52.0', '56.5')
    assert (focal['mIoU, B'], focal['mIoU, A']) == ('**63.0**', '**55.0**')
    assert (focal['mIoU'], focal['gain of mIoU']) == ('**59.0**', '+2.5 ± 0.7')
    assert focal['tail IoU'] == '**37.0**' and focal['tail recall'] == '20.0'
    tuned = squeezed(tuning_table(results).to_markdown()).splitlines()
    assert tuned[2] == '| cross-entropy | lr 0.1 | 55.0 | 58.3 |'


def test_front_and_targets_on_what_was_held_out_in_turn(videos):
    plan, folder = videos
    focal = dataclasses.replace(plan.methods['focal'], ours=True)
    targets = [Target('focal', 'mIoU', 2.0), Target('focal', 'mAcc', 1.0)]
    plan = dataclasses.replace(plan, methods=plan.methods | {'focal': focal}, targets=targets)
    results = Results.read(plan, folder)
    assert 'focal' not in results.trained
    found = [row[2:] for row in target_table(results).rows]
    assert found == [
        ['≥ +2.0 points', '–', '–', '+2.5 ± 0.7 points', 'yes'],
        ['≥ +1.0 points', '–', '–', '+0.0 ± 0.0 points', 'no'],
    ]
    assert not front_table(results, [plan.methods['recall']]).rows  # it was not held out
    (row,) = front_table(results).rows
    assert row == ['focal loss', 'none']
    for record in results.tuned_as_chosen('ce'):
        record.run.means.update(mIoU=70.0, mAcc=80.0)
    (row,) = front_table(results).rows
    assert row == ['focal loss', 'cross-entropy']


def test_without_a_tail_its_columns_are_empty(videos):
    plan, folder = videos
    results = Results.read(plan, folder)
    for record in [*results.tuned, *(r for records in results.trained.values() for r in records)]:
        record.run.means.pop('mIoU_tail')
    (ce, focal) = rows(left_out_table(results)).values()
    assert ce['tail IoU'] == focal['tail IoU'] == '–' and focal['gain of mIoU'] == '+2.5 ± 0.7'
    across = across_studies_table({'toy': results}, ['focal'])
    assert across.rows[0][1].startswith('+2.5 ± 0.7 / – / ')


def test_methods_are_judged_by_the_gain_on_what_was_held_out_in_turn(videos):
    plan, folder = videos
    results = Results.read(plan, folder)
    focal, recall = plan.methods['focal'], plan.methods['recall']
    gain = results.judged_gain(focal, 'mIoU')
    assert (gain.mean, gain.runs) == (pytest.approx(2.5), 2) and plan.in_turn
    assert results.judged_gain(recall, 'mIoU').runs == 0  # not tuned
    assert results.gain(recall, 'mIoU').mean == 0
    one = dataclasses.replace(results, plan=dataclasses.replace(plan, hold_out={'share': 0.2}))
    assert one.judged_gain(recall, 'mIoU').mean == 0


def test_targets_on_what_was_held_out_in_turn(videos):
    plan, folder = videos
    targets = [Target('recall', 'mIoU', 1.0), Target('focal', 'mIoU', 4.4, relative=True)]
    focal = made_record('focal', plan=plan, iou=(90, 50, 13), choice={})
    options = {**focal.trial.options, 'lr': 0.1}
    trial = dataclasses.replace(focal.trial, options=options)
    dataclasses.replace(focal, trial=trial).write(folder)
    table = target_table(Results.read(dataclasses.replace(plan, targets=targets), folder))
    assert table.header[3:] == ['measured', 'met', 'held out', 'met there']
    # mIoU of cross-entropy: 50 on the validation images, 61 and 52 on the videos; gains of 2 and 3
    assert [row[3:] for row in table.rows] == [
        ['+0.0 points', 'no', '–', '–'],
        ['+2.0 %', 'no', '+4.4 ± 1.3 %', 'yes'],
    ]


def test_held_out_scores_need_those_of_the_baseline(videos):
    plan, folder = videos
    results = Results.read(plan, folder)
    kept = {key: value for key, value in results.chosen.items() if key != 'ce'}
    assert not left_out_table(dataclasses.replace(results, chosen=kept)).rows


def test_scores_with_offsets_are_means_over_what_was_held_out(videos):
    plan, folder = videos
    results = Results.read(plan, folder)
    assert not calibrated_table(results).rows
    means = [{'mIoU': 50.0, 'mAcc': 60.0}, {'mIoU': 53.0, 'mAcc': 62.0}]
    for trial in plan.trials('calibrate', results.chosen):
        if trial.method == 'ce':
            found = {'none': means[0], 'mIoU': means[trial.fold == 'A']}
            if trial.fold == 'A':
                found['mAcc'] = {'mIoU': 40.0, 'mAcc': float('nan')}
            record = made_record('ce', plan=plan, run=None, augmented={}, calibrated=found)
            dataclasses.replace(record, trial=trial).write(folder)
    table = calibrated_table(Results.read(plan, folder))
    cells = [line.split('|')[1:6] for line in squeezed(table.to_markdown()).splitlines()[2:]]
    assert [[cell.strip() for cell in row] for row in cells] == [
        ['cross-entropy', 'none', '50.0 ± 0.0', '60.0 ± 0.0', '–'],
        ['cross-entropy', 'mIoU', '51.5 ± 2.1', '61.0 ± 1.4', '–'],
        ['cross-entropy', 'mAcc (n = 1)', '40.0', '–', '–'],
    ]


def test_gains_count_the_seeds_that_the_baseline_has_too(tmp_path):
    write_study(tmp_path)
    (tmp_path / 'train' / 'ce_seed1.json').unlink()
    results = Results.read(made_plan(targets=[Target('recall', 'mIoU', 1.0)]), tmp_path)
    assert list(rows(summary_table(results)))[2] == 'recall loss'
    assert list(rows(gain_table(results))) == ['focal loss (n = 1)', 'recall loss (n = 1)']
    assert list(rows(target_table(results))) == ['recall loss (n = 1)']


def test_costs_need_those_of_the_baseline(tmp_path):
    write_study(tmp_path)
    (tmp_path / 'cost' / 'ce.json').unlink()
    with pytest.raises(ToolError, match='the cost of ce was not measured; .*--stages cost'):
        cost_table(Results.read(made_plan(), tmp_path))


def test_missing_seeds_and_costs_show(tmp_path):
    write_study(tmp_path)
    (tmp_path / 'train' / 'recall_seed1.json').unlink()
    (tmp_path / 'cost' / 'recall.json').unlink()
    results = Results.read(made_plan(targets=[Target('recall', 'mIoU', 1.0)]), tmp_path)
    assert list(rows(summary_table(results)))[2] == 'recall loss (n = 1)'
    assert list(rows(target_table(results))) == ['recall loss (n = 1)']
    last = squeezed(cost_table(results).to_markdown()).splitlines()[-1]
    assert last == '| recall loss | – | – | – | – |'
