"""Plans: what is trained, in which order, and what is wrong with one."""

import copy
from functools import cache
from pathlib import Path

import pytest
from mmengine.config import Config
from mmseg.registry import MODELS
from mmseg.structures import build_pixel_sampler

from lab.study.choice import choose
from lab.study.commands import head_options
from lab.study.plan import Method, Plan, PlanError, Trial
from lab.study.record import read_records
from mmseg_imbalance.utils.shipped import config_path

ROOT = Path(__file__).resolve().parents[2]
PLANS = sorted(p for p in (ROOT / 'lab/plans').glob('*.py') if not p.stem.startswith('methods'))
GRID = {'head.loss_decode.gamma': [2.0, 1.0], 'x.y': ['a', 'b']}


@cache
def config(name):
    return Config.fromfile(config_path(name))


def plan(**kwargs):
    methods = {
        'ce': Method('ce', 'CE', 'cross_entropy/ce', grid={'lr': [0.1, 0.2]}),
        'focal': Method('focal', 'focal', 'baselines/focal', {'z': 5}, GRID),
        'recall': Method('recall', 'RL', 'recall_loss/recall', {'lr': 0.7}),
    }
    return Plan('toy', 'Toy', 'net_data', **{'methods': methods, 'seeds': [3, 4], **kwargs})


def test_there_are_plans():
    assert {path.stem for path in PLANS} >= {'camvid', 'toy_streets', 'cityscapes'}


@pytest.mark.parametrize('path', PLANS, ids=lambda path: path.stem)
def test_shipped_plans_build(path):
    """Losses and pixel samplers take their options; all else replaces an entry of the config."""
    shipped = Plan.fromfile(path)
    for stage in ('tune', 'train'):
        for trial in shipped.trials(stage):
            shipped_cfg = config(trial.config)
            options = head_options(trial.options, shipped_cfg)
            cfg = copy.deepcopy(shipped_cfg)
            cfg.merge_from_dict(options)
            losses = cfg.model.decode_head.loss_decode
            for loss in losses if isinstance(losses, list) else [losses]:
                MODELS.build(loss)
            sampler = cfg.model.decode_head.get('sampler')
            if sampler:
                build_pixel_sampler(sampler, context=None)
            for key in options:
                if not key.startswith('model.'):
                    found = shipped_cfg
                    for name in key.split('.'):
                        assert name in found, f'{trial.name}: {key}'
                        found = found[name]


def test_every_method_on_a_pretrained_network_has_its_learning_rate():
    shipped = Plan.fromfile(ROOT / 'lab/plans/camvid_pretrained.py')
    grids = [method.grid for method in shipped.methods.values()]
    assert len(grids) >= 12 and all(grid == grids[0] for grid in grids)
    (key,) = grids[0]
    lr = config(f'cross_entropy/ce_{shipped.setting}.py').optim_wrapper.optimizer.lr
    assert (key, grids[0][key][0]) == ('optim_wrapper.optimizer.lr', lr)


def test_other_plans_have_the_learning_rates_that_were_chosen_on_camvid():
    plans = ROOT / 'lab/plans'
    camvid, longer, clothing = (
        Plan.fromfile(plans / f'{stem}.py')
        for stem in ('camvid_pretrained', 'camvid_pretrained_2k', 'clothing')
    )
    chosen = choose(camvid, read_records(plans / 'results' / camvid.key, 'tune'))
    trials, key = [*clothing.trials('train'), *longer.trials('tune')], 'optim_wrapper.optimizer.lr'
    own = {name for name, method in longer.methods.items() if len(method.grid[key]) > 1}
    assert 'ce' in own
    for trial in trials:
        if trial.stage != 'tune' or trial.method not in own:  # the longer plan chooses its own
            rate = chosen.get(trial.method, {key: 5e-4})
            assert {key: trial.options[key]} == rate, trial.name
    untuned = {
        'wce-auto',
        'focal',
        'ohem',
        'ce-lovasz',
        'unified-focal',
        'boundary',
        'recall-lovasz',
        'lmp-lovasz',
        'recall-lovasz-cbs',
    }
    assert {trial.method for trial in trials} - chosen.keys() == untuned
    assert all(set(fold) <= {'match', 'listed'} for fold in camvid.folds + clothing.folds)


@pytest.mark.parametrize('stem', ['camvid', 'toy_streets'])
def test_our_own_plans_hold_what_the_protocol_says(stem):
    shipped = Plan.fromfile(ROOT / 'lab/plans' / f'{stem}.py')
    assert shipped.baseline == 'ce' and len(shipped.seeds) >= 3
    assert shipped.hold_out['share'] == 0.2
    lr = shipped.methods['ce'].grid['optim_wrapper.optimizer.lr']
    cfg = config(f'cross_entropy/ce_{shipped.setting}.py')
    assert cfg.optim_wrapper.optimizer.lr == lr[0]


def test_tuning_tries_every_combination_with_the_baselines_choice():
    trials = list(plan(options={'o': 1}).trials('tune', {'ce': {'lr': 0.2}}))
    assert [t.name for t in trials] == [
        'ce_lr-0.1',
        'ce_lr-0.2',
        'focal_gamma-2.0_y-a',
        'focal_gamma-2.0_y-b',
        'focal_gamma-1.0_y-a',
        'focal_gamma-1.0_y-b',
    ]
    assert trials[0].options == {'o': 1, 'lr': 0.1}
    assert trials[3].options == {
        'o': 1, 'lr': 0.2, 'z': 5, 'head.loss_decode.gamma': 2.0, 'x.y': 'b'
    }  # fmt: skip
    assert trials[3].choice == {'head.loss_decode.gamma': 2.0, 'x.y': 'b'}
    assert {t.seed for t in trials} == {3}


def test_every_combination_is_tried_without_each_video():
    videos = [{'match': 'A'}, {'match': 'B'}]
    methods = {'ce': Method('ce', 'CE', 'cross_entropy/ce', grid={'lr': [0.1, 0.2]})}
    folded = plan(hold_out=videos, methods=methods, seeds=[0])
    trials = list(folded.trials('tune'))
    assert [t.name for t in trials] == [
        'ce_lr-0.1_without-A',
        'ce_lr-0.1_without-B',
        'ce_lr-0.2_without-A',
        'ce_lr-0.2_without-B',
    ]
    assert [t.hold_out for t in trials] == videos * 2
    assert [(t.name, t.hold_out) for t in folded.trials('train')] == [('ce_seed0', {})]


def test_a_grid_may_be_several():
    methods = {
        'ce': Method('ce', 'CE', 'cross_entropy/ce', grid=[]),
        'lmp': Method('lmp', 'LMP', 'a/lmp', grid=[{'p': [2, 1]}, {'p': [1], 'ratio': [0.1]}]),
    }
    several = plan(methods=methods, seeds=[0])
    assert [t.name for t in several.trials('tune')] == ['lmp_p-2', 'lmp_p-1', 'lmp_p-1_ratio-0.1']
    assert [t.options for t in several.trials('train')] == [{}, {'p': 2}]


def test_training_takes_what_was_chosen_seed_by_seed():
    chosen = {'ce': {'lr': 0.2}, 'focal': {'head.loss_decode.gamma': 1.0, 'x.y': 'b'}}
    trials = list(plan().trials('train', chosen))
    assert [t.name for t in trials] == [
        'ce_seed3', 'focal_seed3', 'recall_seed3', 'ce_seed4', 'focal_seed4', 'recall_seed4',
    ]  # fmt: skip
    ce, focal, recall = trials[:3]
    assert ce.options == {'lr': 0.2}
    assert focal.options == {'lr': 0.2, 'z': 5, 'head.loss_decode.gamma': 1.0, 'x.y': 'b'}
    assert recall.options == {'lr': 0.7}  # a method's own option has the last word
    assert focal.config == 'baselines/focal_net_data.py'
    assert not any(t.choice for t in trials)


def test_what_is_the_same_once_chosen_is_trained_once():
    methods = {
        'ce': Method('ce', 'CE', 'cross_entropy/ce'),
        'lmp': Method('lmp', 'LMP', 'a/lmp', grid={'p': [1.7, 1.3]}),
        'lmp-p1.7': Method('lmp-p1.7', 'LMP 1.7', 'a/lmp', {'p': 1.7}),
        'lmp-p1.3': Method('lmp-p1.3', 'LMP 1.3', 'a/lmp', {'p': 1.3}),
    }
    for stage in ('train', 'cost'):
        trials = plan(methods=methods, seeds=[0]).trials(stage, {'lmp': {'p': 1.3}})
        assert [t.method for t in trials] == ['ce', 'lmp', 'lmp-p1.7']
    names = [t.name for t in plan(methods=methods).trials('tune')]
    assert names == ['lmp_p-1.7', 'lmp_p-1.3']


def test_trials_know_how_they_are_trained(tmp_path):
    path = tmp_path / 'mine.py'
    text = "title = 'T'\nsetting = 'net_4xb2-8k_data'\nseeds = [0]\namp = True\n"
    path.write_text(
        f'{text}hold_out = dict(share=0.2)\n'
        "methods = {'ce': dict(name='x', config='y', grid={'a': [1]})}\n"
    )
    (tune,) = Plan.fromfile(path).trials('tune')
    (train,) = Plan.fromfile(path).trials('train')
    assert (tune.amp, tune.gpus, tune.hold_out) == (True, 4, {'share': 0.2})
    assert (train.amp, train.gpus, train.hold_out) == (True, 4, {})


def test_cost_is_measured_once_and_defaults_stand_in_for_choices():
    trials = list(plan().trials('cost'))
    assert [t.name for t in trials] == ['ce', 'focal', 'recall']
    assert trials[1].options['head.loss_decode.gamma'] == 2.0


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ('methods = {}', 'it has no methods'),
        ('seeds = [-1]', r'seeds are different whole numbers ≥ 0, got \[-1\]'),
        ('seeds = []', 'seeds are different whole numbers'),
        ('seeds = [0, 1, 0]', 'seeds are different whole numbers'),
        ('seeds = 3', 'cannot read plan .*iterable'),
        ("hold_out = 'x'", 'cannot read plan .*mapping'),
        ("methods = {'C E': dict(name='x', config='y')}", "'C E' is not a valid file name"),
        ("methods = {'ce': dict(name='x', config='y', grid={'a': 3})}", 'no list of values for a'),
        ("methods = {'ce': dict(name='x', config='y', grid=[3])}", 'or a list of such dicts'),
        ("methods = {'ce': dict(name='x', config='y', grid={'a': [3]})}", 'no hold_out'),
        ("methods = {'ce': dict(nome='x')}", 'cannot read plan .*nome'),
        ('hold_out = dict(shre=0.2)', "hold_out has 'shre'; there are share, group, match and"),
        ('hold_out = dict(share=2.0)', 'share of hold_out is a number between 0 and 1, got 2.0'),
        ("hold_out = dict(group='(')", r"group of hold_out is not a regular expression: '\('"),
        ("hold_out = dict(match='a/')", "match of hold_out is in names of files .*, got 'a/'"),
        (
            "hold_out = dict(match='a', group='b')",
            'hold_out has one of match, listed and group',
        ),
        ('hold_out = dict(listed=3)', 'listed of hold_out is a file below the data set, got 3'),
        ("hold_out = [dict(match='A'), dict(match='A')]", 'have different values of match'),
        (
            "methods = {k: dict(name='x', config='y') for k in ('a', 'b')}",
            "two methods have the name 'x'",
        ),
        ("highlights = ['fcal']", "highlights has 'fcal', which is not a method"),
        (
            "targets = [dict(method='x', score='mIoU', least=1)]",
            "targets has 'x', which is not a method",
        ),
        ("targets = [dict(methd='ce')]", 'cannot read plan .*methd'),
        (
            "targets = [dict(method='ce', score='mIuO', least=1)]",
            "targets has the score 'mIuO'; there are mIoU, mAcc, ",
        ),
        ('sedes = [1]', 'cannot read plan .*sedes'),
        ("options = {'head.p': float('inf')}", r'head.p=inf would change in a record'),
        ("options = {'size': (64, 64)}", r'size=\(64, 64\) would change in a record'),
        (
            "methods = {'ce': dict(name='x', config='y', grid={'a': [(1, 2)]})}\n"
            'hold_out = dict(share=0.5)',
            r'a=\[\(1, 2\)\] would change in a record',
        ),
        ('seeds = [1 / 0]', 'cannot read plan .*division by zero'),
    ],
)
def test_mistakes_are_named_with_their_file(tmp_path, change, message):
    path = tmp_path / 'mine.py'
    text = "title = 'T'\nsetting = 's'\nseeds = [0]\nmethods = {'ce': dict(name='x', config='y')}\n"
    path.write_text(text)
    assert Plan.fromfile(path).key == 'mine'
    path.write_text(text + change + '\n')
    with pytest.raises(PlanError, match=message) as error:
        Plan.fromfile(path)
    assert str(path) in str(error.value)


def test_the_name_of_a_trial_is_a_file_name():
    trial = Trial('tune', 'wce', 0, 'x.py', {}, choice={'head.class_weight': 'data/a.json'})
    assert trial.name == 'wce_class_weight-data-a.json'


def test_a_missing_plan_is_named():
    with pytest.raises(PlanError, match='plan not found: nowhere.py'):
        Plan.fromfile('nowhere.py')
