"""What is chosen of a grid."""

from dataclasses import replace

from study_results import GAMMA, made_plan, made_record

from lab.study.choice import choose
from lab.study.plan import Method

LR = 'optim_wrapper.optimizer.lr'


def tried(gamma, iou, **kwargs):
    return made_record('focal', stage='tune', choice={GAMMA: gamma}, iou=(iou,) * 3, **kwargs)


def test_the_highest_miou_wins_whatever_the_order():
    for records in ([tried(2.0, 50), tried(1.0, 51)], [tried(1.0, 51), tried(2.0, 50)]):
        assert choose(made_plan(), records) == {'focal': {GAMMA: 1.0}}


def test_of_equals_the_first_of_the_grid():
    assert choose(made_plan(), [tried(1.0, 50), tried(2.0, 50)]) == {'focal': {GAMMA: 2.0}}


def test_nothing_is_chosen_before_all_are_tried():
    assert choose(made_plan(), [tried(2.0, 50)]) == {}


def test_a_single_choice_needs_no_trial():
    one = Method('focal', 'focal loss', 'baselines/focal', grid={GAMMA: [3.0]})
    plan = made_plan(focal=one)
    assert choose(plan, []) == {'focal': {GAMMA: 3.0}}
    assert choose(replace(plan, hold_out=[{'match': 'a'}, {'match': 'b'}]), []) == choose(plan, [])


def test_trials_of_other_settings_do_not_count():
    one, two = tried(2.0, 50), tried(1.0, 51)
    for change in (
        {'options': {GAMMA: 1.0, 'x': 1}},
        {'choice': {GAMMA: 9.0}},
        {'amp': True},
        {'hold_out': {'share': 0.5}},
        {'seed': 7},
    ):
        foreign = replace(two, trial=replace(two.trial, **change))
        assert choose(made_plan(), [one, foreign]) == {}
        better = tried(1.0, 99)
        better = replace(better, trial=replace(better.trial, **change))
        assert choose(made_plan(), [one, tried(1.0, 49), better]) == {'focal': {GAMMA: 2.0}}


def test_the_others_are_chosen_with_what_was_chosen_for_the_baseline():
    plan = made_plan(ce=Method('ce', 'cross-entropy', 'cross_entropy/ce', grid={LR: [0.1, 0.2]}))
    base = [
        made_record('ce', stage='tune', choice={LR: lr}, iou=(iou,) * 3, plan=plan)
        for lr, iou in ((0.1, 40), (0.2, 45))
    ]
    others = []
    for lr in (0.1, 0.2):
        for gamma, iou in ((2.0, 50), (1.0, 60 * lr + 45)):
            record = tried(gamma, iou, plan=plan)
            options = {**record.trial.options, LR: lr}
            others.append(replace(record, trial=replace(record.trial, options=options)))
    assert choose(plan, base + others) == {'ce': {LR: 0.2}, 'focal': {GAMMA: 1.0}}
    base[0] = made_record('ce', stage='tune', choice={LR: 0.1}, iou=(49,) * 3, plan=plan)
    others[1] = replace(others[1], run=tried(1.0, 49).run)
    assert choose(plan, base + others) == {'ce': {LR: 0.1}, 'focal': {GAMMA: 2.0}}


def test_combinations():
    plan = made_plan(both=Method('both', 'both', 'a/b', grid={'p': [1, 2], 'q': [[0], [1, 2]]}))
    scores = {(1, 0): 3, (1, 1): 9, (2, 0): 8, (2, 1): 4}
    lists = [[0], [1, 2]]
    records = [
        made_record('both', stage='tune', choice={'p': p, 'q': lists[q]}, iou=(s,) * 3, plan=plan)
        for (p, q), s in scores.items()
    ]
    assert choose(plan, records) == {'both': {'p': 1, 'q': [1, 2]}}


def test_the_mean_over_what_was_left_out_decides():
    plan = replace(made_plan(), hold_out=[{'match': 'A'}, {'match': 'B'}])
    scores = {(2.0, 'A'): 60, (2.0, 'B'): 20, (1.0, 'A'): 30, (1.0, 'B'): 52}
    records = [
        replace(record, trial=replace(record.trial, hold_out={'match': fold}))
        for (gamma, fold), iou in scores.items()
        for record in [tried(gamma, iou)]
    ]
    assert choose(plan, records) == {'focal': {GAMMA: 1.0}}
    assert choose(plan, records[:3]) == {}
