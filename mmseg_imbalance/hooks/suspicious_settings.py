"""Settings that are possible but rarely meant, each with a sentence that says why."""

from collections.abc import Iterator

from mmengine.hooks import CheckpointHook

from ..datasets import find_label_maps
from ..datasets.store import difference
from ..datasets.wrappers import transforms_of
from ..evaluation import ImbalanceMetric
from ..utils.find_loss import unwrapped
from ..utils.training_loop import by_epoch, metrics_of


def suspicious_settings(runner) -> Iterator[str]:
    """Yields a sentence for every setting of a training that is rarely meant."""
    yield from _schedules(runner)
    yield from _saving(runner)
    yield from _groups(runner)
    transforms = list(transforms_of(runner.train_dataloader.dataset))
    preprocessor = getattr(unwrapped(runner.model), 'data_preprocessor', None)
    yield from _padding(transforms, getattr(preprocessor, 'size', None))
    if any(type(t).__name__ == 'Normalize' for t in transforms) and getattr(
        preprocessor, '_enable_normalize', False
    ):
        yield 'images are normalised twice, by Normalize of train_dataloader and data_preprocessor'


def _schedules(runner) -> Iterator[str]:
    schedulers = runner.param_schedulers
    for part in schedulers.values() if isinstance(schedulers, dict) else [schedulers or []]:
        for scheduler in part:
            name = type(scheduler).__name__
            if getattr(scheduler, 'need_val_args', False):  # one that follows the validation
                continue
            if scheduler.by_epoch and not by_epoch(runner):
                yield (
                    f'{name} changes by epoch, but the training counts iterations, so that it '
                    'never changes: set by_epoch=False'
                )
            elif scheduler is part[-1] and name.startswith('Poly'):
                length = runner.max_epochs if scheduler.by_epoch else runner.max_iters
                if scheduler.end != length:
                    yield (
                        f'{name} ends at {scheduler.end}, but the training at {length}: set end of '
                        'its param_scheduler to the length of the training'
                    )


def _saving(runner) -> Iterator[str]:
    hooks = [hook for hook in runner.hooks if isinstance(hook, CheckpointHook)]
    if any(hook.by_epoch and hook.interval > 0 for hook in hooks) and not by_epoch(runner):
        yield (
            'CheckpointHook saves by epoch, but the training counts iterations, so that nothing '
            'can be resumed before its end: set default_hooks.checkpoint.by_epoch=False and its '
            'interval'
        )


def _groups(runner) -> Iterator[str]:
    """Compares the statistics behind head, medium and tail with the images that are trained on."""
    metrics = [m for m in metrics_of(runner.val_loop) if isinstance(m, ImbalanceMetric)]
    metrics = [metric for metric in metrics if metric.statistics is not None]
    try:
        labels = find_label_maps(runner.train_dataloader.dataset) if metrics else None
    except (TypeError, ValueError):  # a data set whose label maps cannot be listed
        return
    for metric in metrics:
        if metric.statistics.fingerprint != labels.fingerprint:
            yield (
                f'{metric.path}, by which ImbalanceMetric groups the classes, is not of the '
                f'training set: {difference(metric.statistics, labels)}'
            )


def _padding(transforms: list, size: tuple[int, int] | None) -> Iterator[str]:
    crops = [t for t in transforms if isinstance(getattr(t, 'crop_size', None), tuple)]
    if not crops or not size or any(hasattr(t, 'pad_val') for t in transforms):
        return
    height, width = crops[-1].crop_size
    if 2 * height * width < size[0] * size[1]:
        yield (
            f'crops of {width} x {height} pixels are padded to {size[1]} x {size[0]}, mostly by '
            'ignored pixels: give data_preprocessor.size the crop_size'
        )
