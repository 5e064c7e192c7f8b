"""A hook that passes the class statistics of the training set to the losses that need them."""

from mmengine.hooks import EMAHook, Hook
from mmseg.registry import HOOKS
from prettytable import PrettyTable
from torch import nn

from ..datasets.store import drawn_statistics, sampler_by_class
from ..datasets.wrappers import transforms_of
from ..losses.loss_max_pooling import LossMaxPooling
from ..losses.segmentation_loss import SegmentationLoss
from ..statistics.class_statistics import ClassStatistics
from ..utils.find_loss import unwrapped


@HOOKS.register_module()
class ClassStatisticsHook(Hook):
    """Computes ``class_weight='median_frequency'`` and similar settings from class statistics.

    Before the first iteration of a new or resumed training, the hook finds every loss that needs
    class statistics: in all heads, in lists of losses, and as ``pixel_loss`` of a
    :class:`LossMaxPooling`. It loads the statistics of the training set or, if the file is
    missing, counts and saves them. Then it logs the numbers that each loss computes from them. If
    no loss needs statistics, it does nothing.

    The statistics are those of whole images as the training draws them: repeated images count
    repeatedly, and with :class:`ClassBalancedInfiniteSampler` every image by its expected share of
    the draws (with ``class_prob='performance'``, before the first feedback). Crops change the
    shares further, which the log says::

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
        loader = runner.train_dataloader
        statistics = drawn_statistics(loader, self.statistics, self.nproc)
        computed = {path: _supply(loss, path, statistics) for path, loss in losses.items()}
        runner.logger.info(_describe(statistics, computed) + _note(loader))
        for hook in runner.hooks:
            if isinstance(hook, EMAHook):  # it copied the model earlier
                for path, loss in _find_losses(hook.ema_model.module).items():
                    _supply(loss, path, statistics)


def _note(loader) -> str:
    """Says what the shares include, and which transforms change them."""
    changing = [
        type(transform).__name__
        for transform in transforms_of(loader.dataset)
        if getattr(transform, 'cat_max_ratio', 1) < 1 or hasattr(transform, 'class_prob')
    ]
    by_class = sampler_by_class(loader) is not None
    note = '\nas the class-balanced sampler is expected to draw images' if by_class else ''
    if changing:
        note += (
            f'\nshares in whole images; those in training are changed by {", ".join(changing)}, '
            'see tools/analysis_tools/sampled_classes.py'
        )
    return note


def _find_losses(model: nn.Module) -> dict[str, SegmentationLoss]:
    """Returns the losses that need statistics, keyed by their path in the model.

    What a :class:`LossMaxPooling` pools is not among them, since it passes the statistics on.
    """
    found, pooled = {}, set()
    for path, module in model.named_modules():
        if isinstance(module, LossMaxPooling):
            pooled.add(module.pixel_loss)
        needs = isinstance(module, SegmentationLoss) and module.needs_statistics
        if needs and module not in pooled:
            found[path] = module
    return found


def _supply(
    loss: SegmentationLoss, path: str, statistics: ClassStatistics
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
