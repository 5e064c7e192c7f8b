"""A hook that compares what the parts of a run say about the same thing."""

from mmengine.dataset import InfiniteSampler
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import EpochBasedTrainLoop
from mmseg.datasets.transforms import RandomRotFlip
from mmseg.registry import HOOKS

from ..datasets.wrappers import transforms_of
from ..evaluation import ImbalanceMetric
from ..losses.class_count_loss import ClassCountLoss
from ..losses.region_loss import RegionLoss
from ..utils.find_loss import losses_of, unwrapped
from ..utils.training_loop import metrics_of, samplers_of
from .consistency import InconsistentConfigError, check_consistency
from .suspicious_settings import suspicious_settings

BY_POSITION = {'DDRHead': 2, 'PIDHead': 4}
"""Heads that take losses by their position in a list, and how many."""


@HOOKS.register_module()
class ConsistencyHook(Hook):
    """Refuses a run whose parts contradict each other, before its first iteration.

    It compares heads, losses, data sets, crops and other transforms, padding, metrics and the
    checkpoint that is resumed or tested: the ignored label, the number of classes, their names and
    their order, and ``reduce_zero_label``. A run with a contradiction would go on, and be wrong
    without a word. It also refuses samplers without an end where an end is needed, and losses of
    regions in a head with a pixel sampler. It warns of settings that are rarely meant, such as a
    schedule that does not fit the length of the training, and tells losses with running counts how
    many classes there are::

        custom_hooks = [*_base_.custom_hooks, dict(type='ConsistencyHook')]

    The shipped configs have it, and ``tools/train.py`` and ``tools/test.py`` add it to every run
    without it.

    Args:
        refuse (bool): Whether a contradiction is an error. False: it is a warning, such as for a
            test on other classes that is meant.

    Raises:
        InconsistentConfigError: At the start of a training or test; names the parts.
    """

    priority = 'VERY_HIGH'  # before EMAHook copies the model, and before anything is counted

    def __init__(self, refuse: bool = True) -> None:
        self.refuse = refuse
        self._trained_on: list[str] | None = None

    def before_run(self, runner) -> None:
        """Gives losses with running counts their number of classes, which their head knows."""
        for head in unwrapped(runner.model).modules():
            if not hasattr(head, 'loss_decode'):
                continue
            for loss in head.modules():
                needing = isinstance(loss, ClassCountLoss) and loss.needs_num_classes
                if needing and head.out_channels > 1:  # the loss itself refuses one channel
                    loss.set_num_classes(head.out_channels)

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Notes the classes of the training that saved the checkpoint."""
        meta = checkpoint.get('meta') or {}
        self._trained_on = (meta.get('dataset_meta') or {}).get('classes')

    def before_train(self, runner) -> None:
        """Compares the parts of a training and of its validation."""
        loops = {'train': runner.train_loop}
        if runner.val_loop is not None:
            loops['val'] = runner.val_loop
        # a training that only starts from other weights may have other classes
        self._check(runner, loops, self._trained_on if runner.iter > 0 else None)
        self._trained_on = None  # from here on the weights are this training's
        for sentence in suspicious_settings(runner):
            runner.logger.warning(sentence)

    def before_test(self, runner) -> None:
        """Compares the parts of a test."""
        self._check(runner, {'test': runner.test_loop}, self._trained_on)

    def _check(self, runner, loops: dict, trained_on: list[str] | None) -> None:
        try:
            _check_ends(loops)
            if 'train' in loops:
                _check_best(runner)
                _check_rotations(runner.train_dataloader.dataset)
                _check_pixel_samplers(unwrapped(runner.model))
                _check_losses_by_position(unwrapped(runner.model))
            _compare(runner, loops, trained_on)
        except InconsistentConfigError as error:
            if self.refuse:
                raise
            runner.logger.warning(str(error))


def _check_ends(loops: dict) -> None:
    for stage, loop in loops.items():
        loader = getattr(loop, 'dataloader', None)
        for sampler in [] if loader is None else samplers_of(loader):
            if stage != 'train' and _is_endless(sampler):
                raise InconsistentConfigError(
                    f'{type(sampler).__name__} is for training, and never takes every image once: '
                    f"set {stage}_dataloader.sampler to dict(type='DefaultSampler', shuffle=False)"
                )
            if isinstance(loop, EpochBasedTrainLoop):
                _end_epochs(sampler)


def _is_endless(sampler) -> bool:
    return isinstance(sampler, InfiniteSampler) or 'Infinite' in type(sampler).__name__


def _end_epochs(sampler) -> None:
    if _is_endless(sampler) and not hasattr(sampler, 'by_epoch'):
        raise InconsistentConfigError(
            f'{type(sampler).__name__} never ends, so that the first epoch of the training would '
            "not either: set train_dataloader.sampler.type='DefaultSampler', or train by "
            "iterations with train_cfg.type='IterBasedTrainLoop' and train_cfg.max_iters"
        )
    if hasattr(sampler, 'by_epoch'):
        sampler.by_epoch = True


def _check_rotations(dataset) -> None:
    for transform in transforms_of(dataset):
        if isinstance(transform, RandomRotFlip) and transform.rotate_prob > 0:
            raise InconsistentConfigError(
                'RandomRotFlip of train_dataloader interpolates between class ids when it rotates, '
                'which makes other ids of them: use RandomRotate and RandomFlip instead'
            )


def _check_pixel_samplers(model) -> None:
    for path, head in model.named_modules():
        sampler = getattr(head, 'sampler', None)
        if sampler is None or not hasattr(head, 'loss_decode'):
            continue
        for loss in losses_of(head):
            if isinstance(loss, RegionLoss):
                raise InconsistentConfigError(
                    f'model.{path}.sampler is {type(sampler).__name__}, which gives every pixel a '
                    f'weight, but {type(loss).__name__} has no losses of single pixels that could '
                    'be weighed: leave the sampler out, or this loss'
                )


def _check_losses_by_position(model) -> None:
    for path, head in model.named_modules():
        outputs = BY_POSITION.get(type(head).__name__, 0)
        if outputs and len(losses_of(head)) != outputs:
            raise InconsistentConfigError(
                f'model.{path} is a {type(head).__name__}, which takes {outputs} losses by their '
                f'position in a list: make loss_decode a list of {outputs}, for each of its outputs'
            )


def _check_best(runner) -> None:
    """Checks that the validation has the scores by which the best checkpoint is chosen."""
    metrics = metrics_of(runner.val_loop)
    if not metrics or not all(isinstance(metric, ImbalanceMetric) for metric in metrics):
        return
    names = ['auto', *(name for metric in metrics for name in metric.score_names)]
    for hook in (hook for hook in runner.hooks if isinstance(hook, CheckpointHook)):
        for name in hook.save_best or ():
            if name not in names:
                raise InconsistentConfigError(
                    f'{type(hook).__name__}.save_best is {name!r}, but ImbalanceMetric returns '
                    f'{", ".join(names[1:])}; means of head, medium and tail need its argument '
                    'statistics, and a class in the group'
                )


def _compare(runner, loops: dict, trained_on: list[str] | None) -> None:
    loaders = {stage: getattr(loop, 'dataloader', None) for stage, loop in loops.items()}
    datasets = {stage: loader.dataset for stage, loader in loaders.items() if loader is not None}
    metrics = {stage: metrics_of(loop) for stage, loop in loops.items()}
    check_consistency(runner.model, datasets, metrics, trained_on)
