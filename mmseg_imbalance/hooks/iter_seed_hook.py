"""Random noise that a resumed training draws again as an uninterrupted one would."""

import random

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmseg.registry import HOOKS

_LOADING, _STEP = 0, 1


@HOOKS.register_module()
class IterSeedHook(Hook):
    """Seeds Python's, NumPy's and PyTorch's generators anew for every iteration.

    MMEngine does not save their states, so that after ``--resume`` dropout and augmentation draw
    other numbers than an uninterrupted run. Here the numbers of an iteration depend on nothing but
    (seed, rank, iteration), and nothing has to be saved::

        custom_hooks = [dict(type='IterSeedHook')]

    Exact for dropout, and for augmentation that draws from Python's or NumPy's generator, as
    MMSegmentation's does, where ``train_dataloader.num_workers`` is 0. Worker processes have
    generators of their own, which are out of reach, and a runner that replays the past samples on
    resuming (upstream MMEngine's does) draws augmentation for them.
    """

    def before_train(self, runner) -> None:
        """Seeds the loading of the first batch."""
        self._seed(runner, runner.iter, _LOADING)

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        """Seeds the training step: a new iterator of the loader has drawn from the generators."""
        self._seed(runner, runner.iter, _STEP)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Seeds the loading of the next batch."""
        self._seed(runner, runner.iter + 1, _LOADING)

    def after_val_epoch(self, runner, metrics=None) -> None:
        """Seeds the loading again: a validation may have drawn numbers in between."""
        self._seed(runner, runner.iter, _LOADING)

    @staticmethod
    def _seed(runner, iteration: int, purpose: int) -> None:
        entropy = np.random.SeedSequence([runner.seed, get_rank(), iteration, purpose])
        for_python, for_numpy, for_torch = entropy.generate_state(3).tolist()
        random.seed(for_python)
        np.random.seed(for_numpy)
        torch.manual_seed(for_torch)
