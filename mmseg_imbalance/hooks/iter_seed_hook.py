"""A hook that gives a resumed training the random numbers of an uninterrupted one."""

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

    MMEngine does not save their states. After ``--resume``, dropout and augmentation therefore
    draw other numbers than in an uninterrupted run. With this hook, the numbers of an iteration
    depend only on (seed, rank, iteration), and nothing has to be saved::

        custom_hooks = [dict(type='IterSeedHook')]

    Dropout is then exact, and so is augmentation from Python's or NumPy's generator, such as
    MMSegmentation's, if ``train_dataloader.num_workers`` is 0: this hook cannot seed the generators
    of worker processes. A runner that replays past samples on resuming, such as upstream
    MMEngine's, draws random numbers for their augmentation, too.
    """

    def before_train(self, runner) -> None:
        """Seeds the loading of the first batch."""
        self._seed(runner, runner.iter, _LOADING)

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        """Seeds the training step, since a new loader iterator has drawn from the generators."""
        self._seed(runner, runner.iter, _STEP)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Seeds the loading of the next batch."""
        self._seed(runner, runner.iter + 1, _LOADING)

    def after_val_epoch(self, runner, metrics=None) -> None:
        """Seeds the loading again, since the validation may have drawn random numbers."""
        self._seed(runner, runner.iter, _LOADING)

    @staticmethod
    def _seed(runner, iteration: int, purpose: int) -> None:
        entropy = np.random.SeedSequence([runner.seed, get_rank(), iteration, purpose])
        for_python, for_numpy, for_torch = entropy.generate_state(3).tolist()
        random.seed(for_python)
        np.random.seed(for_numpy)
        torch.manual_seed(for_torch)
