"""The lines for a user's config: they load with it, and bring loss, sampler, crop and hooks."""

from pathlib import Path

import pytest
import torch
from head_losses import losses_of
from mmengine.config import Config
from mmseg.registry import DATA_SAMPLERS, HOOKS, MODELS
from mmseg.utils import register_all_modules

from lab.study.advice import RULES, read_evidence
from lab.study.advised_config import config_lines, has_plain_loss, obstacle

ROOT = Path(__file__).resolve().parents[2]
TOY = ROOT / 'configs/cross_entropy/ce_deeplabv3-r18-d8_1xb8-800_toy-streets-128x256.py'
TWO_HEADS = ROOT / 'configs/cross_entropy/ce_deeplabv3-r18-d8_4xb2-80k_cityscapes-512x1024.py'
OWN = """\
custom_imports = dict(imports='my_data')
model = dict(
    decode_head=[
        dict(type='A', loss_decode=dict(type='CrossEntropyLoss', loss_weight=0.7)), dict(type='B')
    ],
    auxiliary_head=dict(type='C', channels=8),
)
train_dataloader = dict(
    sampler=dict(type='InfiniteSampler'),
    dataset=dict(type='RepeatDataset', dataset=dict(pipeline=[])),
)
"""


@pytest.fixture(scope='module')
def trials():
    """The trial of every method that a rule names, from every study that has it."""
    studies = read_evidence(ROOT / 'lab/plans')
    found = {}
    for key in {rule.method for rule in RULES}:
        for study in studies:
            found.setdefault(key, []).extend(r.trial for r in study.trained.get(key, [])[:1])
    return found


@pytest.fixture
def child(tmp_path, monkeypatch):
    """Loads the lines for a trial, with a user's config as their base."""
    monkeypatch.setattr('mmengine.config.config.import_modules_from_strings', lambda **_: None)

    def load(base, trial):
        lines = config_lines(str(base), Config.fromfile(base), trial, ROOT / 'configs')
        (tmp_path / 'child.py').write_text(lines)
        return Config.fromfile(tmp_path / 'child.py')

    return load


def losses(head):
    """The losses of a head with their weights."""
    return [{'loss_weight': 1.0, **loss} for loss in losses_of(head)]


@pytest.mark.parametrize('base', [TOY, TWO_HEADS], ids=['toy', 'two heads'])
def test_loss_and_sampler_of_every_rule_are_those_of_the_trial(base, trials, child):
    register_all_modules(init_default_scope=True)
    plain = Config.fromfile(base)
    for key, of_method in trials.items():
        for trial in of_method:
            cfg = child(base, trial)
            measured = Config.fromfile(ROOT / 'configs' / trial.config)
            for option, value in trial.options.items():
                head, _, rest = option.partition('.')
                measured.merge_from_dict({f'model.decode_head.{rest}': value} if head == 'head' else
                                         {option: value})  # fmt: skip
            expected = losses(measured.model.decode_head)
            assert losses(cfg.model.decode_head) == expected, key
            for loss in losses(cfg.model.decode_head):
                MODELS.build(loss)
            if plain.model.auxiliary_head:
                weighted = [loss | {'loss_weight': 0.4} for loss in expected]
                assert losses(cfg.model.auxiliary_head) == weighted
            assert {**cfg.train_dataloader.sampler} == {**measured.train_dataloader.sampler}
            assert cfg.optim_wrapper == plain.optim_wrapper
            assert cfg.train_dataloader.dataset.type == plain.train_dataloader.dataset.type
            crops = [s.type for s in cfg.train_dataloader.dataset.pipeline if 'Crop' in s.type]
            assert crops == ['ClassAwareRandomCrop' if key.endswith('-cbs') else 'RandomCrop']
            assert cfg.custom_hooks == plain.custom_hooks  # it has all of them


def test_a_config_with_lists_wrappers_and_imports_of_its_own(tmp_path, trials, child):
    (tmp_path / 'own.py').write_text(OWN)
    for key, of_method in trials.items():
        cfg = child(tmp_path / 'own.py', of_method[0])
        assert cfg.custom_imports.imports == ['my_data', 'mmseg_imbalance']
        first, second = cfg.model.decode_head
        assert (first.type, second.type) == ('A', 'B')
        assert losses(first) == [loss | {'loss_weight': 0.7} for loss in losses(second)]
        assert cfg.model.auxiliary_head == dict(
            type='C', channels=8, loss_decode=second.loss_decode
        )
        assert cfg.train_dataloader.dataset.type == 'RepeatDataset'
        lines = (tmp_path / 'child.py').read_text()
        assert ('ClassAwareRandomCrop' in lines) == key.endswith('-cbs')  # a comment
        hooks = ['ClassStatisticsHook'] + ['ClassFeedbackHook'] * key.endswith('-cbs')
        assert [hook.type for hook in cfg.custom_hooks] == hooks
        assert all(HOOKS.get(name) for name in hooks)
        assert DATA_SAMPLERS.get(cfg.train_dataloader.sampler.type)
    (tmp_path / 'own.py').write_text(OWN + "custom_hooks = [dict(type='MyHook')]\n")
    cfg = child(tmp_path / 'own.py', trials['recall'][0])
    assert [hook.type for hook in cfg.custom_hooks] == ['MyHook', 'ClassStatisticsHook']


def test_heads_with_other_labels_stay_and_pixel_samplers_go(tmp_path, trials, child):
    """As in MMSegmentation's configs of STDC."""
    hard = dict(type='OHEMPixelSampler', thresh=0.7)
    edges = dict(type='mmseg.STDCHead', loss_decode=[dict(type='DiceLoss', loss_name='loss_dice')])
    fcn = dict(type='FCNHead', sampler=hard, loss_decode=dict(type='CrossEntropyLoss'))
    own = dict(
        model=dict(decode_head=fcn, auxiliary_head=[dict(fcn, in_index=1), edges]),
        train_dataloader=dict(sampler=dict(type='InfiniteSampler'), dataset=dict(pipeline=[])),
    )
    for auxiliary in ([dict(fcn, in_index=1), edges], edges):
        own['model']['auxiliary_head'] = auxiliary
        Config(own).dump(tmp_path / 'own.py')
        for of_method in trials.values():
            cfg = child(tmp_path / 'own.py', of_method[0])
            *others, last = listed(cfg.model.auxiliary_head)
            assert last == edges
            for head in (cfg.model.decode_head, *others):
                assert head.sampler is None
                assert losses(head) == losses(cfg.model.decode_head)
    assert not has_plain_loss(Config(own))
    assert obstacle(Config(own)) == ''


def listed(heads):
    return heads if isinstance(heads, list) else [heads]


@pytest.mark.parametrize(
    'head, why',
    [
        (dict(type='DDRHead'), 'model.decode_head is a DDRHead, which takes 2 losses by their'),
        (dict(type='mmseg.PIDHead'), 'model.decode_head is a PIDHead, which takes 4 losses'),
        (dict(type='FCNHead', num_classes=2, out_channels=1), 'model.decode_head has one channel'),
    ],
)
def test_what_no_lines_can_train(head, why):
    assert why in obstacle(Config(dict(model=dict(decode_head=head))))
    assert why.split()[1] in obstacle(Config(dict(model=dict(decode_head=[{}, head]))))


@pytest.mark.parametrize(
    'model, plain',
    [
        (dict(decode_head=dict(loss_decode=dict(type='CrossEntropyLoss'))), True),
        (dict(decode_head=dict(type='FCNHead')), True),  # the default of heads
        (dict(decode_head=dict(loss_decode=dict(type=torch.nn.CrossEntropyLoss))), True),
        (dict(decode_head=dict(loss_decode=dict(type='RecallLoss'))), False),
        (dict(decode_head=dict(sampler=dict(type='OHEMPixelSampler'))), False),
        (dict(decode_head={}, auxiliary_head=dict(loss_decode=dict(type='FocalLoss'))), False),
        (dict(decode_head=[{}, dict(loss_decode=dict(type='DiceLoss'))]), False),
        (
            dict(
                decode_head=dict(
                    loss_decode=[dict(type='mmseg.CrossEntropyLoss'), dict(type='DiceLoss')]
                )
            ),
            False,
        ),
    ],
)
def test_plain_loss_is_told_by_all_heads(model, plain):
    assert has_plain_loss(Config(dict(model=model))) is plain
