import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mmseg_imbalance.hooks.iter_seed_hook import IterSeedHook


def noise():
    return random.random(), np.random.rand(), torch.rand(()).item()


def of_iteration(hook, runner, iteration, resumed):
    """What is drawn for the batch and in the step of an iteration."""
    runner.iter = iteration
    if resumed:
        hook.before_train(runner)
        torch.rand(3)  # the loader's new iterator draws a seed for its workers
    else:
        runner.iter = iteration - 1
        hook.after_train_iter(runner, runner.iter)
        runner.iter = iteration
    loading = noise()
    hook.before_train_iter(runner, iteration)
    return loading, noise()


def test_noise_depends_on_nothing_but_seed_and_iteration():
    hook, runner = IterSeedHook(), SimpleNamespace(seed=3)
    straight = [of_iteration(hook, runner, i, resumed=False) for i in (4, 5)]
    noise()
    resumed = of_iteration(hook, runner, 5, resumed=True)
    assert resumed[1] == straight[1][1]
    assert resumed[0][:2] == straight[1][0][:2]  # PyTorch's takes no part in loading
    drawn = [*straight[0], *straight[1]]
    assert len(set(drawn)) == 4 and straight[0] != straight[1]
    other = of_iteration(hook, SimpleNamespace(seed=4), 5, resumed=True)
    assert other != resumed


@pytest.mark.elsewhere
def test_validation_in_between_changes_nothing():
    hook, runner = IterSeedHook(), SimpleNamespace(seed=0, iter=8)
    hook.after_train_iter(runner, 8)
    expected = noise()
    runner.iter = 9
    noise()
    hook.after_val_epoch(runner)
    assert noise() == expected


def test_ranks_draw_different_noise(monkeypatch):
    drawn = []
    for rank in (0, 1):
        monkeypatch.setattr('mmseg_imbalance.hooks.iter_seed_hook.get_rank', lambda rank=rank: rank)
        IterSeedHook().before_train(SimpleNamespace(seed=0, iter=0))
        drawn.append(noise())
    assert all(a != pytest.approx(b) for a, b in zip(*drawn, strict=True))
