"""What is chosen of a grid."""

from study_results import made_plan, made_record

from mmseg_imbalance.study import Method, choose

GAMMA = 'head.loss_decode.gamma'


def tried(gamma, iou):
    return made_record('focal', stage='tune', choice={GAMMA: gamma}, iou=(iou, iou, iou))


def test_the_highest_miou_wins_whatever_the_order():
    for records in ([tried(2.0, 50), tried(1.0, 51)], [tried(1.0, 51), tried(2.0, 50)]):
        assert choose(made_plan(), records) == {'focal': {GAMMA: 1.0}}


def test_of_equals_the_first_of_the_grid():
    assert choose(made_plan(), [tried(1.0, 50), tried(2.0, 50)]) == {'focal': {GAMMA: 2.0}}


def test_nothing_is_chosen_before_all_are_tried():
    assert choose(made_plan(), [tried(2.0, 50)]) == {}


def test_values_of_old_grids_do_not_count():
    records = [tried(2.0, 50), tried(1.0, 51), tried(9.0, 99)]
    assert choose(made_plan(), records) == {'focal': {GAMMA: 1.0}}


def test_combinations():
    method = Method('both', 'both', 'a/b', grid={'p': [1, 2], 'q': ['x', 'y']})
    scores = {(1, 'x'): 3, (1, 'y'): 9, (2, 'x'): 8, (2, 'y'): 4}
    records = [
        made_record('both', stage='tune', choice={'p': p, 'q': q}, iou=(s, s, s))
        for (p, q), s in scores.items()
    ]
    assert choose(made_plan(both=method), records) == {'both': {'p': 1, 'q': 'y'}}
