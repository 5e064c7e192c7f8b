"""A hook that compares what the parts of a run say about the same thing."""

from mmengine.dataset import InfiniteSampler
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop
from mmseg.registry import HOOKS

from ..losses.class_count_loss import ClassCountLoss
from ..utils.find_loss import unwrapped
from .consistency import InconsistentConfigError, check_consistency


@HOOKS.register_module()
class ConsistencyHook(Hook):
    """Refuses a run whose parts contradict each other, before its first iteration.

    It compares heads, data sets, crops and other transforms, padding and metrics: the ignored
    label, the number of classes, their names and their order, and ``reduce_zero_label``. A training
    with a contradiction would run, and be wrong without a word. It also refuses a loop by epochs
    whose sampler has no end, and tells losses with running counts how many classes there are::

        custom_hooks = [*_base_.custom_hooks, dict(type='ConsistencyHook')]

    The shipped configs have it, and ``tools/train.py`` and ``tools/test.py`` add it to every run.

    Raises:
        InconsistentConfigError: At the start of a training or test; names the parts.
    """

    priority = 'VERY_HIGH'  # before EMAHook copies the model, and before anything is counted

    def before_run(self, runner) -> None:
        """Gives losses with running counts their number of classes, which their head knows."""
        for head in unwrapped(runner.model).modules():
            if not hasattr(head, 'loss_decode'):
                continue
            for loss in head.modules():
                if isinstance(loss, ClassCountLoss) and loss.needs_num_classes:
                    loss.set_num_classes(head.out_channels)

    def before_train(self, runner) -> None:
        """Compares the parts of a training and of its validation."""
        loops = {'train': runner.train_loop}
        if runner.val_loop is not None:
            loops['val'] = runner.val_loop
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            _end_epochs(runner.train_dataloader.sampler)
        _compare(runner, loops)

    def before_test(self, runner) -> None:
        """Compares the parts of a test."""
        _compare(runner, {'test': runner.test_loop})


def _end_epochs(sampler) -> None:
    if isinstance(sampler, InfiniteSampler):
        raise InconsistentConfigError(
            f'{type(sampler).__name__} never ends, so that the first epoch of the training would '
            "not either: set train_dataloader.sampler.type='DefaultSampler', or train by "
            "iterations with train_cfg.type='IterBasedTrainLoop' and train_cfg.max_iters"
        )
    if hasattr(sampler, 'by_epoch'):
        sampler.by_epoch = True


def _compare(runner, loops: dict) -> None:
    datasets = {stage: loop.dataloader.dataset for stage, loop in loops.items()}
    metrics = {
        stage: loop.evaluator.metrics for stage, loop in loops.items() if hasattr(loop, 'evaluator')
    }
    check_consistency(runner.model, datasets, metrics)
