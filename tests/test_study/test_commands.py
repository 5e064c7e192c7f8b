"""The commands of trials."""

import argparse
import shlex
import sys

import pytest
from mmengine.config import Config, DictAction

from mmseg_imbalance.study import Trial
from mmseg_imbalance.study.commands import (
    COST_ITERATIONS,
    command,
    head_options,
    shown_command,
    stage_options,
)

ONE_HEAD = Config(
    dict(model=dict(decode_head=dict(type='A'), auxiliary_head=None), train_cfg=dict(max_iters=90))
)
TWO_HEADS = Config(dict(model=dict(decode_head=dict(type='A'), auxiliary_head=dict(type='B'))))


def trial(stage='train', **options):
    return Trial(stage, 'focal', 3, 'baselines/focal_x.py', options)


def parsed(words):
    """What a tool's parser makes of the words after ``--cfg-options``."""
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    return parser.parse_args(words[words.index('--cfg-options') :]).cfg_options


def test_options_of_heads_reach_every_head():
    options = {'head.loss_decode.gamma': 1.0, 'a.head.b': 2, 'header': 3}
    assert head_options(options, ONE_HEAD) == {
        'model.decode_head.loss_decode.gamma': 1.0, 'a.head.b': 2, 'header': 3
    }  # fmt: skip
    assert head_options({'head.sampler.type': 'X'}, TWO_HEADS) == {
        'model.decode_head.sampler.type': 'X', 'model.auxiliary_head.sampler.type': 'X'
    }  # fmt: skip


def test_tools_read_the_options_that_were_meant():
    options = {'a': 0.004, 'b.c': 'rare', 'd': False, 'e': [1, 2], 'f': None, 'g': 1e-9, 'h': 5}
    words = command('tools/train.py', ['x.py', '--amp'], options)
    assert words[:4] == [sys.executable, 'tools/train.py', 'x.py', '--amp']
    assert parsed(words) == options


def test_several_gpus_are_launched():
    words = command('tools/test.py', ['x.py'], {'a': 1}, gpus=4)
    assert words[1:3] == ['-m', 'torch.distributed.run'] and '--nproc-per-node=4' in words
    assert words[words.index('--launcher') + 1] == 'pytorch'
    assert parsed(words) == {'a': 1}


def test_a_reader_can_type_the_command():
    shown = shown_command(trial(**{'head.loss_decode.gamma': 1.0}), ONE_HEAD, amp=True)
    tool = ['python', 'tools/train.py', 'configs/baselines/focal_x.py', '--amp']
    assert shlex.split(shown)[:4] == tool
    assert parsed(shlex.split(shown)) == {
        'model.decode_head.loss_decode.gamma': 1.0, 'randomness.seed': 3
    }  # fmt: skip
    shown = shown_command(trial(), ONE_HEAD, amp=False, gpus=4)
    assert shown.startswith('bash tools/dist_train.sh configs/baselines/focal_x.py 4 --cfg-options')


@pytest.mark.parametrize('stage', ['tune', 'train'])
def test_only_the_last_checkpoint_is_scored(stage):
    assert stage_options(trial(stage), ONE_HEAD)['train_cfg.val_interval'] == 90
    longer = trial(stage, **{'train_cfg.max_iters': 200})
    options = stage_options(longer, ONE_HEAD)
    assert options['train_cfg.val_interval'] == 200
    assert options['default_hooks.checkpoint.interval'] == 50


def test_cost_is_a_short_training_without_scores():
    options = stage_options(trial('cost'), ONE_HEAD)
    assert options['train_cfg.max_iters'] == COST_ITERATIONS < options['train_cfg.val_begin']
