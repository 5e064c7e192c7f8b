"""Which settings make trainings repetitions of one another."""

import copy

import pytest
from mmengine.config import Config

from lab.study.run_settings import (
    loss_types,
    readable_details,
    training_settings,
    validation_data,
)
from mmseg_imbalance.utils.shipped import config_path


@pytest.fixture(scope='module')
def config():
    return Config.fromfile(
        config_path('recall_loss/recall_deeplabv3-r18-d8_1xb8-800_toy-streets-128x256.py')
    ).to_dict()


@pytest.fixture
def settings(config):
    """The settings of the config with changes, by dotted keys with ``__``."""

    def changed(**changes):
        cfg = Config(copy.deepcopy(config))
        cfg.merge_from_dict({key.replace('__', '.'): value for key, value in changes.items()})
        return training_settings(cfg.to_dict())

    return changed


VOLATILE = dict(
    randomness__seed=7, work_dir='elsewhere', resume=True, launcher='pytorch', log_level='INFO',
    train_dataloader__num_workers=5, train_cfg__val_interval=1, env_cfg__cudnn_benchmark=False,
    default_hooks__logger__interval=9, default_hooks__checkpoint=None, experiment_name='x',
    val_evaluator__type='IoUMetric', val_dataloader__batch_size=3, vis_backends=[],
    custom_hooks=[
        dict(type='WeightingCurvesHook'), dict(type='PixelWeightPictureHook'),
        dict(type='ClassStatisticsHook', nproc=2), dict(type='ClassFeedbackHook', interval=9),
        dict(type='RunSummaryHook'), dict(type='ConsistencyHook'),
    ],
)  # fmt: skip


@pytest.mark.parametrize('key', VOLATILE)
def test_what_makes_no_difference(settings, key):
    assert settings(**{key: VOLATILE[key]}) == settings()


CHANGES = dict(
    optim_wrapper__optimizer__lr=0.1, train_cfg__max_iters=3, train_dataloader__batch_size=3,
    model__decode_head__loss_decode__type='FocalLoss', randomness__deterministic=True,
    train_dataloader__dataset__ann_file='few.txt', val_dataloader__dataset__ann_file='few.txt',
    custom_hooks=[dict(type='EMAHook')],
)  # fmt: skip


@pytest.mark.parametrize('key', CHANGES)
def test_what_makes_a_difference(settings, key):
    assert settings(**{key: CHANGES[key]}) != settings()


def test_the_checkpoint_that_it_started_with(config):
    assert training_settings(config, 'start.pth') != training_settings(config)


def test_types_in_a_config_in_pure_python_are_those_of_one_in_text(settings):
    def written(losses, data, hook):
        return settings(
            model__decode_head__loss_decode__type=f'{losses}CrossEntropyLoss',
            val_dataloader__dataset__type=f'{data}CamVidDataset',
            custom_hooks=[dict(type=hook)],
        )

    plain = written('', '', 'WeightingCurvesHook')
    hook = "<class 'mmseg_imbalance.weighting.WeightingCurvesHook'>"
    assert written('mmseg.models.losses.', 'mmseg_imbalance.datasets.', hook) == plain
    assert 'CamVidDataset' in plain.values()


def test_statistics_matter_and_how_they_are_counted_does_not(settings):
    counted = dict(type='ClassStatisticsHook', statistics='other.json')
    assert settings(custom_hooks=[counted]) != settings()
    assert settings(custom_hooks=[counted | {'nproc': 3}]) == settings(custom_hooks=[counted])


@pytest.mark.parametrize('class_prob', ['performance', 'rare'])
def test_feedback_matters_where_the_sampler_takes_it(settings, class_prob):
    sampler = dict(_delete_=True, type='ClassBalancedInfiniteSampler', class_prob=class_prob)

    def sampled(*hooks):
        return settings(train_dataloader__sampler=dict(sampler), custom_hooks=list(hooks))

    hook, taken = dict(type='ClassFeedbackHook'), class_prob == 'performance'
    assert sampled(hook | {'curves': False}) == sampled(hook)
    assert (sampled(hook | {'interval': 9}) != sampled(hook)) == taken
    assert (sampled() != sampled(hook)) == taken


def test_losses_of_all_decode_heads(settings):
    assert loss_types(settings()) == {'RecallLoss'}
    losses = [dict(type='CrossEntropyLoss'), dict(type='mmseg.DiceLoss')]
    for head in (dict(loss_decode=losses), [{}, dict(loss_decode=losses)]):
        found = loss_types(training_settings(dict(model=dict(decode_head=head))))
        assert found == {'CrossEntropyLoss', 'DiceLoss'}
    assert loss_types({}) == set()


def test_details(config):
    details = readable_details(config)
    assert details == {
        'network': 'ASPPHead on ResNetV1c-18', 'optimizer': 'AdamW', 'lr': 0.005, 'batch': 8
    }  # fmt: skip
    pure = "<class 'some.where.{}'>"  # as MMEngine dumps configs in pure Python
    given = copy.deepcopy(config)
    given['model']['decode_head']['type'] = pure.format('ASPPHead')
    given['optim_wrapper']['optimizer']['type'] = pure.format('AdamW')
    assert readable_details(given) == details
    assert readable_details({}) == {
        'network': 'None on None', 'optimizer': None, 'lr': None, 'batch': None
    }  # fmt: skip
    assert validation_data(config)['type'] == 'ToyStreetsDataset'
    assert validation_data({}) == {'type': 'an unnamed data set'}
