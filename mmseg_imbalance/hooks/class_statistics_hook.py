"""Hands the statistics of the training data to the losses that are computed from them."""

from mmengine.hooks import EMAHook, Hook
from mmseg.registry import HOOKS
from prettytable import PrettyTable
from torch import nn

from ..datasets import class_statistics
from ..losses.pixel_weighting_loss import PixelWeightingLoss
from ..statistics.class_statistics import ClassStatistics
from ..utils.find_loss import unwrapped


@HOOKS.register_module()
class ClassStatisticsHook(Hook):
    """Gives losses with ``class_weight='median_frequency'`` and the like their numbers.

    Before the first iteration of a training, also of a resumed one, it looks for every loss of the
    model that is to be computed from class statistics: in all heads, in lists of losses, and the
    ``pixel_loss`` of a :class:`LossMaxPooling`. For these it loads the statistics of the training
    set, or counts and keeps them where the file is missing, and logs what each loss makes of
    them. A model without such a loss costs nothing::

        custom_hooks = [dict(type='ClassStatisticsHook')]

    In a distributed training one process loads or counts; the others wait for it, no longer than
    the process group's timeout, so the statistics of a large data set are best made before, with
    ``tools/analysis_tools/class_statistics.py``.

    Args:
        statistics (str, optional): File of the training set's class statistics. None: beside the
            data, named after the data set's fingerprint, as the tool and
            :class:`ClassBalancedInfiniteSampler` do it.
        nproc (int, optional): Number of worker processes that count, one per CPU core if None.

    Raises:
        ValueError: At the start of a training, if the file is damaged or was made for other data,
            or a loss is one of another number of classes.
    """

    def __init__(self, statistics: str | None = None, nproc: int | None = None) -> None:
        self.statistics = statistics
        self.nproc = nproc

    def before_train(self, runner) -> None:
        """Supplies the losses; every process has to get here."""
        losses = _find_losses(unwrapped(runner.model))
        if not losses:
            return
        dataset = runner.train_dataloader.dataset
        statistics = class_statistics(dataset, self.statistics, self.nproc)
        computed = {path: _supply(loss, path, statistics) for path, loss in losses.items()}
        runner.logger.info(_describe(statistics, computed))
        for hook in runner.hooks:
            if isinstance(hook, EMAHook):  # its copy of the model was made before
                for path, loss in _find_losses(hook.ema_model.module).items():
                    _supply(loss, path, statistics)


def _find_losses(model: nn.Module) -> dict[str, PixelWeightingLoss]:
    """The losses of a model that need statistics, by their path in it."""
    return {
        path: module
        for path, module in model.named_modules()
        if isinstance(module, PixelWeightingLoss) and module.needs_statistics
    }


def _supply(
    loss: PixelWeightingLoss, path: str, statistics: ClassStatistics
) -> dict[str, list[float]]:
    num_classes = len(statistics.classes)
    if loss.num_classes not in (None, num_classes):
        raise ValueError(
            f'{path} has num_classes={loss.num_classes}, but the training set has {num_classes} '
            f'classes: {", ".join(statistics.classes)}'
        )
    return loss.use_statistics(statistics)


def _describe(statistics: ClassStatistics, computed: dict[str, dict[str, list[float]]]) -> str:
    """A table of the classes with each list of numbers, and where it is used."""
    used: dict[tuple[str, tuple[float, ...]], list[str]] = {}
    for path, lists in computed.items():
        for name, values in lists.items():
            used.setdefault((name, tuple(values)), []).append(path)
    table = PrettyTable(['class', 'training %', *(name for name, _ in used)], align='r')
    table.align['class'] = 'l'
    for c, cls in enumerate(statistics.classes):
        numbers = [100 * statistics.pixel_share[c], *(values[c] for _, values in used)]
        table.add_row([cls, *(f'{number:.3g}' for number in numbers)])
    places = '; '.join(f'{name} of {", ".join(paths)}' for (name, _), paths in used.items())
    return f'from the statistics of the training set: {places}\n{table}'
