"""The commands of trials."""

import argparse
import shlex
import sys

import pytest
from mmengine.config import Config, DictAction

from lab.study.commands import COST_ITERATIONS, command, head_options, shown_command, stage_options
from lab.study.plan import Trial

ONE_HEAD = Config(
    dict(model=dict(decode_head=dict(type='A'), auxiliary_head=None), train_cfg=dict(max_iters=90))
)
TWO_HEADS = Config(dict(model=dict(decode_head=dict(type='A'), auxiliary_head=dict(type='B'))))


def trial(stage='train', amp=False, gpus=1, **options):
    return Trial(stage, 'focal', 3, 'baselines/focal_x.py', options, amp=amp, gpus=gpus)


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


def test_what_no_option_can_say_is_said_before():
    losses = {'head.loss_decode': [{'type': 'A'}, {'type': 'B'}]}
    first, second = shown_command(trial(**losses), ONE_HEAD).split('\n')
    assert first == (
        "# with model.decode_head.loss_decode=[{'type':'A'},{'type':'B'}] in the config:"
    )
    assert second.split() == [
        'python', 'tools/train.py', 'configs/baselines/focal_x.py', '--cfg-options',
        'randomness.seed=3',
    ]  # fmt: skip


def test_one_process_is_started_and_several_are_launched():
    assert command('tools/train.py', 'a b.py', '--amp') == [
        sys.executable, 'tools/train.py', 'a b.py', '--amp'
    ]  # fmt: skip
    words = command('tools/test.py', 'x.py', '--tta', gpus=4)
    assert words[1:3] == ['-m', 'torch.distributed.run'] and '--nproc-per-node=4' in words
    assert words[-5:] == ['tools/test.py', 'x.py', '--tta', '--launcher', 'pytorch']


def test_a_reader_can_type_the_command():
    options = {'head.loss_decode.gamma': 1.0, 'lr': 0.004, 'b.c': 'rare', 'd': False}
    shown = shlex.split(shown_command(trial(amp=True, **options), ONE_HEAD))
    assert shown[:4] == ['python', 'tools/train.py', 'configs/baselines/focal_x.py', '--amp']
    assert parsed(shown) == {
        'model.decode_head.loss_decode.gamma': 1.0, 'lr': 0.004, 'b.c': 'rare', 'd': False,
        'randomness.seed': 3,
    }  # fmt: skip
    nested = {'a': {'b': {'type': 'X'}, 'c': 0.5}, 'd': [127.5, 1.0]}
    shown = shlex.split(shown_command(trial(**nested), ONE_HEAD))
    assert parsed(shown) == {'a.b.type': 'X', 'a.c': 0.5, 'd': [127.5, 1.0], 'randomness.seed': 3}
    shown = shown_command(trial(gpus=4), ONE_HEAD)
    assert shown.startswith('bash tools/dist_train.sh configs/baselines/focal_x.py 4 --cfg-options')


@pytest.mark.parametrize('stage', ['tune', 'train'])
def test_only_the_last_checkpoint_is_scored(stage):
    options = stage_options(trial(stage), ONE_HEAD)
    assert options['train_cfg.val_interval'] == 90
    assert options['default_hooks.checkpoint.interval'] == 22
    assert options['default_hooks.checkpoint.max_keep_ckpts'] == 2


def test_cost_is_a_short_training_without_scores():
    options = stage_options(trial('cost'), ONE_HEAD)
    assert options['train_cfg.max_iters'] == COST_ITERATIONS < options['train_cfg.val_begin']
