"""From the classes of a training set and the records of studies to recommendations."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_runs import made_run
from mmengine.config import Config
from study_results import made_plan, made_record

from lab.study import advice
from lab.study.advice import RULES, ClassState, advise, class_states, read_evidence, unrecorded
from lab.study.plan import Method
from lab.study.results import Results
from mmseg_imbalance.statistics.class_statistics import ClassStatistics
from mmseg_imbalance.utils.errors import ToolError

ROOT = Path(__file__).resolve().parents[2]
ROAD = ClassState('road', 0.9, 1.0)
POLE = ClassState('pole', 0.01, 0.8)
TIE = ClassState('tie', 0.001, 0.02)
ADDED = {key: Method(key, f'the {key}', f'x/{key}') for key in ('recall-cbs', 'lmp', 'lmp-cbs')}
# By method: IoU of the last of three classes, the tail, in the seeds 0 and 1.
GAINING = {'ce': (10, 6), 'recall': (22, 20), 'lmp': (15, 12)}


@pytest.fixture
def study(tmp_path):
    """Makes the results of a study in which only the tail's IoU differs between methods."""

    def make(tail, key='toy', seeds=(0, 1), first=90, images=None, setting=None):
        plan = replace(made_plan(**ADDED), key=key, title=key.title(), setting=setting or key)
        for method, values in tail.items():
            for seed, value in zip(seeds, values, strict=True):
                iou = (90 if method == 'ce' else first, 50, value)
                made = made_record(method, seed, plan=plan, iou=iou, images=images)
                made.write(tmp_path / key)
        return Results.read(plan, tmp_path / key)

    return make


def keys(recommended):
    return [each.rule.method for each in recommended]


# ---- the rules


def test_every_rule_is_about_a_method_of_the_plans_and_a_page():
    methods = Config.fromfile(ROOT / 'lab/plans/methods.py').methods
    for rule in RULES:
        assert rule.method in methods
        assert (ROOT / 'configs' / rule.page / 'README.md').is_file()
    assert {rule.situation for rule in RULES} == {'few images', 'few pixels', 'none'}


def test_limits_are_those_that_the_tool_explains():
    text = (ROOT / 'tools/analysis_tools/advise.py').read_text()
    assert f'less than {100 * advice.FEW_IMAGES:.0f} % of the images' in text
    assert f'recall there is below {advice.MISSED:.0f} %' in text


# ---- the classes


@pytest.mark.parametrize(
    'shares, recall, situation, verdict',
    [
        ((0.9, 1.0), np.nan, 'none', ''),
        ((0.9, 1.0), 80, 'none', ''),
        ((0.9, 1.0), 20, 'missed', 'missed'),
        ((0.019, 0.1), np.nan, 'few pixels', 'rare by pixels'),
        ((0.019, 0.1), 49.9, 'few pixels', 'rare by pixels, missed'),
        ((0.019, 0.1), 50, 'none', 'rare by pixels, found anyway'),
        ((0.02, 0.099), np.nan, 'few images', 'rare by images'),
        ((0.01, 0.02), 0, 'few images', 'rare by pixels and images, missed'),
        ((0.01, 0.02), 90, 'none', 'rare by pixels and images, found anyway'),
        ((0, 0), np.nan, 'none', 'has no pixel'),
        ((0, 0), 0, 'none', 'has no pixel'),
    ],
)
def test_situation_of_a_class(shares, recall, situation, verdict):
    state = ClassState('x', *shares, recall=recall)
    assert (state.situation, state.verdict) == (situation, verdict)


def test_shares_and_scores_of_classes():
    pixels = np.array([[1, 9, 0], [3, 7, 0], [0, 10, 0], [0, 10, 0]])
    counted = ClassStatistics(('pole', 'road', 'tie'), tuple('abcd'), pixels, np.zeros(4, int), '')
    run = made_run('ce', 0, (80, 30, np.nan), (90, 40, np.nan), ['road', 'pole', 'tie'])
    road, pole, tie = class_states(counted, run)
    assert road == ClassState('road', 0.9, 1.0, 80, 90)
    assert pole == ClassState('pole', 0.1, 0.5, 30, 40)
    assert tie.name == 'tie' and tie.pixels == 0 and np.isnan([tie.iou, tie.recall]).all()
    assert [np.isnan(state.recall) for state in class_states(counted)] == [True] * 3
    other = made_run('ce', 0, (80, 30), (90, 40), ['road', 'car'])
    with pytest.raises(ToolError, match='ce-0 has the classes road, car, the training set pole'):
        class_states(counted, other)


# ---- the advice


def test_nothing_rare_is_for_cross_entropy(study):
    evidence = [study(GAINING)]
    (one,), withheld = advise([ROAD], evidence)
    assert one.rule.method == 'ce' and one.reason == 'no class is rare' and not withheld
    assert one.scores('mIoU_tail')[0][:2] == (8, pytest.approx(np.std([10, 6], ddof=1)))
    found = replace(POLE, recall=60)
    (one,), _ = advise([replace(ROAD, recall=90), found], evidence)
    assert one.rule.method == 'ce' and one.reason == 'the run finds the rare classes: pole'


def test_few_pixels_are_for_losses_in_the_order_of_their_gains(study):
    recommended, withheld = advise([ROAD, POLE], [study(GAINING)])
    assert keys(recommended) == ['recall', 'lmp']
    assert recommended[0].reason == 'pole: rare by pixels, but in 80.0 % of the images or more'
    assert recommended[0].scores('mIoU_tail')[0].mean == 13 == (22 - 10 + 20 - 6) / 2
    assert keys(advise([POLE], [study(GAINING | {'lmp': (32, 30)})])[0]) == ['lmp', 'recall']
    nothing = 'there are no records of it; see configs/baselines/README.md'
    assert withheld['lovasz'] == withheld['wce-median'] == nothing


def test_without_records_nothing_is_recommended(study):
    recommended, withheld = advise([ROAD, POLE], [])
    assert not recommended and {'recall', 'lmp'} < set(withheld)
    assert advise([ROAD], [])[0] == []
    recommended, withheld = advise([POLE], [study({'ce': (10, 6)})])
    assert not recommended
    assert withheld['recall loss'].startswith('there are no records of it; see')  # its name


def test_order_is_first_by_the_gains_on_what_was_held_out_in_turn(study, monkeypatch):
    toy, videos = study(GAINING), study(GAINING | {'recall': (12, 9)}, key='videos')
    assert keys(advise([POLE], [toy, videos])[0]) == ['recall', 'lmp']  # on average
    assert keys(advise([POLE], [videos])[0]) == ['lmp', 'recall']
    plan = replace(videos.plan, hold_out=[{'match': 'A'}, {'match': 'B'}])
    monkeypatch.setattr(Results, 'judged_gain', Results.gain)
    in_turn = replace(videos, plan=plan)
    recommended, _ = advise([POLE], [toy, in_turn])
    assert keys(recommended) == ['lmp', 'recall']
    assert [s.plan.key for s in recommended[0].studies] == ['toy', 'videos']
    more = study(GAINING | {'lmp-cbs': (95, 90)})  # not on the videos
    assert keys(advise([POLE], [more, in_turn])[0]) == ['lmp', 'recall', 'lmp-cbs']


def test_records_that_speak_against_a_method(study):
    recommended, withheld = advise([POLE], [study(GAINING, first=10)])
    assert not recommended
    assert withheld['recall loss'].startswith('the records do not speak for it: mIoU -22.3 ± 0.')
    assert withheld['recall loss'].endswith(' on Toy')
    _, withheld = advise([POLE], [study(GAINING), study(GAINING, key='bad', first=10)])
    shown = re.sub(r'\d+\.\d', '#', withheld['recall loss'])
    assert shown.endswith(': mIoU +# ± # on Toy, -# ± # on Bad')
    better = [study(GAINING, key=key) for key in ('one', 'two')]
    bad = study(GAINING, key='bad', first=10)
    recommended, _ = advise([POLE], [*better, bad])
    assert keys(recommended) == ['recall', 'lmp'] and len(recommended[0].studies) == 3


def test_more_than_half_of_the_studies_have_to_speak_for_a_method(study):
    rising = [study(GAINING, key=key) for key in ('one', 'two')]
    same = [study(dict.fromkeys(GAINING, (10, 6)), key=key) for key in ('same', 'equal')]
    recommended, withheld = advise([POLE], [rising[0], same[0]])
    assert not recommended
    assert withheld['recall loss'].endswith(', +0.0 ± 0.0 on Same')
    assert keys(advise([POLE], [*rising, same[0]])[0]) == ['recall', 'lmp']
    assert not advise([POLE], [*rising, *same])[0]
    # mIoU falls where the tail rises, and the other way round
    tail_only = study(GAINING, key='tail', first=70)
    mean_only = study(GAINING | {'recall': (10, 6), 'lmp': (10, 6)}, key='mean', first=95)
    _, withheld = advise([POLE], [rising[0], tail_only])
    assert withheld['recall loss'].startswith('the records do not speak for it: mIoU ')
    _, withheld = advise([POLE], [rising[0], mean_only])
    assert withheld['recall loss'].startswith('the records do not speak for it: tail IoU ')


def test_of_studies_in_one_setting_the_last_counts(study):
    short = study(GAINING, key='short', first=10, setting='net')
    longer = study(GAINING, key='short_2k', setting='net')
    recommended, _ = advise([POLE], [short, longer])
    assert [[s.plan.key for s in each.studies] for each in recommended] == [['short_2k']] * 2
    one_seed = {method: values[:1] for method, values in GAINING.items()}
    longest = study(one_seed, key='short_3k', setting='net', seeds=[0])  # a run says little
    recommended, _ = advise([POLE], [short, longer, longest])
    assert [[s.plan.key for s in each.studies] for each in recommended] == [['short_2k']] * 2


def test_a_study_by_held_out_parts_needs_scores_of_them(study):
    alone = study(GAINING, key='alone')
    in_turn = replace(alone.plan, hold_out=[{'match': 'A'}, {'match': 'B'}])
    _, withheld = advise([POLE], [replace(alone, plan=in_turn)])
    assert withheld['recall loss'].startswith('there are no records of it; ')
    recommended, _ = advise([POLE], [study(GAINING), replace(alone, plan=in_turn)])
    assert [s.plan.key for s in recommended[0].studies] == ['toy']


def test_sampling_may_be_recommended_for_few_pixels(study):
    evidence = [study(GAINING | {'recall-cbs': (40, 42), 'lmp-cbs': (20, 17)})]
    recommended, withheld = advise([ROAD, POLE], evidence)
    assert keys(recommended) == ['recall-cbs', 'lmp-cbs', 'lmp']
    # for the same purpose only the best one is named
    assert (
        withheld['recall loss'] == 'the records speak more for the recall-cbs, with the same "if"'
    )


def test_the_records_of_today():
    """Lovász soft-max raises mIoU in one study of three."""
    recommended, withheld = advise([ROAD, POLE], read_evidence(ROOT / 'lab/plans'))
    assert {'lmp', 'lmp-cbs', 'wce-auto'} <= set(keys(recommended))
    assert keys(recommended)[:3] == ['recall-lovasz', 'ce-lovasz', 'unified-focal']
    assert 'recall loss + Lovász, with the same "if"' in withheld['recall loss']
    assert withheld['Lovász soft-max'].startswith('the records do not speak for it: mIoU +7.6 ')
    # on held-out videos alone, not on the whole training set
    (pair,) = (each for each in recommended if each.rule.method == 'lmp-lovasz')
    (longer,) = (study for study in pair.studies if study.plan.key == 'camvid_pretrained_2k')
    assert 'lmp-lovasz' not in longer.trained
    assert pair._replace(studies=[longer]).trial.method == pair.trial.method == 'lmp-lovasz'


def test_one_seed_says_nothing(study):
    one = {method: values[:1] for method, values in GAINING.items()}
    recommended, withheld = advise([POLE], [study(one, seeds=[0])])
    assert not recommended
    assert withheld['recall loss'] == 'the records do not speak for it: mIoU +4.0 on Toy'
    both = [study(GAINING), study(one, key='other', seeds=[0])]
    assert keys(advise([POLE], both)[0]) == ['recall', 'lmp']  # nor against a method


def test_few_images_need_records_of_such_data(study):
    both = GAINING | {'recall-cbs': (40, 42), 'lmp-cbs': (30, 28)}
    few = (100.0, 30.0, 9.9)  # percent of the images that hold a class
    evidence = [study(both, images=(100.0, 30.0, 10.0)), study(both, key='clothing', images=few)]
    recommended, withheld = advise([ROAD, POLE, TIE], evidence[:1])
    assert keys(recommended) == ['recall-cbs', 'lmp-cbs', 'lmp']
    assert {each.reason for each in recommended} == {'pole, tie: rare by pixels'}
    where = (
        'There are no records of several runs on data with classes in few images; see '
        'configs/class_balanced'
    )
    assert unrecorded([ROAD, POLE, TIE], evidence[:1]) == [
        f'tie: in 2.0 % of the images or fewer. {where}_sampling/README.md'
    ]
    assert keys(advise([ROAD, TIE], evidence[:1])[0]) == keys(recommended)
    large = ClassState('large', 0.1, 0.05)  # not rare by pixels: nothing to fall back to
    assert advise([ROAD, large], evidence[:1]) == ([], {})
    assert unrecorded([ROAD, large], evidence[:1])[0].startswith('large: in 5.0 %')
    recommended, withheld = advise([ROAD, POLE, TIE], evidence)
    assert keys(recommended) == ['recall-cbs', 'lmp-cbs', 'lmp']
    assert unrecorded([ROAD, TIE], evidence) == unrecorded([ROAD, POLE], evidence[:1]) == []
    assert recommended[0].reason == 'tie: in 2.0 % of the images or fewer'
    assert [[s.plan.key for s in each.studies] for each in recommended[1:3]] == [
        ['clothing'], ['toy', 'clothing']
    ]  # fmt: skip
    one_seed = {method: values[:1] for method, values in both.items()}
    one_seed = study(one_seed, key='one seed', seeds=[0], images=few)
    assert unrecorded([ROAD, TIE], [evidence[0], one_seed])[0].startswith('tie: in 2.0 %')
    lacking = study(GAINING | {'recall-cbs': (40, 42)}, key='clothing2', images=few)
    _, withheld = advise([ROAD, large], [evidence[0], lacking])
    where = 'on data with classes in few images; see configs/class_balanced_sampling/README.md'
    why = f'there are no records of several runs of it {where}'
    assert withheld == {'the lmp-cbs': why, 'recall-lovasz-cbs': why}
    recommended, withheld = advise([ROAD, POLE, TIE], [evidence[0], lacking])
    assert keys(recommended) == ['recall-cbs', 'lmp-cbs', 'lmp']
    assert not {'the lmp-cbs', 'the recall-cbs'} & set(withheld)


def test_missed_classes_that_are_not_rare(study):
    missed, evidence = replace(ROAD, recall=30), [study(GAINING)]
    assert advise([missed], evidence) == ([], {})
    (note,) = unrecorded([missed], evidence)
    assert note.startswith('road: not rare, and yet missed. No method is judged by such classes; ')
    assert keys(advise([missed, POLE], evidence)[0]) == ['recall', 'lmp']


def test_many_classes_are_not_all_named(study):
    poles = [replace(POLE, name=f'pole {i}') for i in range(6)]
    (first, *_), _ = advise(poles, [study(GAINING)])
    assert first.reason.startswith('pole 1, pole 2, pole 3, pole 4, pole 5 and others: rare by')


# ---- the records


def test_all_kept_results_are_read():
    kept = {path.parent.name for path in ROOT.glob('lab/plans/results/*/train')}
    evidence = read_evidence(ROOT / 'lab/plans')
    assert {results.plan.key for results in evidence} == kept
    for results in evidence:
        assert any(key.startswith('recall') for key in results.trained), results.plan.key


def test_a_plan_that_has_not_trained_its_baseline_is_no_evidence(tmp_path):
    (tmp_path / 'results/toy/tune').mkdir(parents=True)
    (tmp_path / 'results/note.txt').touch()
    with pytest.raises(ToolError, match='plan not found: .*toy.py'):
        read_evidence(tmp_path)
    (tmp_path / 'toy.py').write_text(
        "title, setting, seeds = 'Toy', 'net', [0]\nmethods = dict(ce=dict(name='c', config='c'))\n"
    )
    assert read_evidence(tmp_path) == []
