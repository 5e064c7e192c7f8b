"""A hook that passes the class statistics of the training set to the losses that need them."""

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
    """Computes ``class_weight='median_frequency'`` and similar settings from class statistics.

    Before the first iteration of a new or resumed training, the hook finds every loss that needs
    class statistics: in all heads, in lists of losses, and as ``pixel_loss`` of a
    :class:`LossMaxPooling`. It loads the statistics of the training set or, if the file is
    missing, counts and saves them. Then it logs the numbers that each loss computes from them. If
    no loss needs statistics, it does nothing::

        custom_hooks = [dict(type='ClassStatisticsHook')]

    In a distributed training, rank 0 loads or counts. The other ranks wait no longer than the
    process group's timeout, so it is best to count a large data set beforehand with
    ``tools/analysis_tools/class_statistics.py``.

    Args:
        statistics (str, optional): File of the training set's class statistics. If None, it is
            below the data root, named after the data set's fingerprint, as with the tool and
            :class:`ClassBalancedInfiniteSampler`.
        nproc (int, optional): Number of worker processes that count, one per CPU core if None.

    Raises:
        ValueError: At the start of a training, if the file is damaged or was made for other data,
            or if a loss has another number of classes.
    """

    def __init__(self, statistics: str | None = None, nproc: int | None = None) -> None:
        self.statistics = statistics
        self.nproc = nproc

    def before_train(self, runner) -> None:
        """Passes the statistics to the losses; in a distributed run all ranks must call this."""
        losses = _find_losses(unwrapped(runner.model))
        if not losses:
            return
        dataset = runner.train_dataloader.dataset
        statistics = class_statistics(dataset, self.statistics, self.nproc)
        computed = {path: _supply(loss, path, statistics) for path, loss in losses.items()}
        runner.logger.info(_describe(statistics, computed))
        for hook in runner.hooks:
            if isinstance(hook, EMAHook):  # it copied the model earlier
                for path, loss in _find_losses(hook.ema_model.module).items():
                    _supply(loss, path, statistics)


def _find_losses(model: nn.Module) -> dict[str, PixelWeightingLoss]:
    """Returns the losses that need statistics, keyed by their path in the model."""
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
    """Formats a table of the classes with each list of numbers and the losses that use it."""
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
