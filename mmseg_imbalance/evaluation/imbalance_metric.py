"""A metric that shows how well rare classes are predicted."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.dist import get_dist_info
from mmengine.evaluator import BaseMetric
from mmengine.logging import MessageHub, MMLogger, print_log
from mmengine.visualization import Visualizer
from mmseg.registry import METRICS

from ..statistics.class_statistics import ClassStatistics
from ..utils.class_names import class_names
from ..utils.curves import add_curves
from ..utils.errors import BadFileError
from ..utils.files import write_atomically, write_figure
from ..utils.logs import warn
from .class_groups import GROUPS, class_groups
from .confusion import class_scalars, confusion_matrix
from .scores import Scores


@METRICS.register_module()
class ImbalanceMetric(BaseMetric):
    """IoU, recall, precision and F1 of every class, and their means over head, medium and tail.

    It replaces IoUMetric, whose aAcc, mIoU and mAcc it also returns, or works beside it with a
    prefix (metrics must not share names)::

        val_evaluator = dict(
            _delete_=True, type='ImbalanceMetric', statistics='data/class_statistics/train.npz'
        )
        default_hooks = dict(checkpoint=dict(save_best='mIoU_tail'))

    It returns, and so logs, means in percent: aAcc, mIoU, mAcc, mPrecision, mF1, and with
    statistics those of each group that has classes: mIoU_head, mIoU_medium, mIoU_tail, mAcc_head
    and so on. They leave out undefined scores (see :func:`class_scores`). mF1 is MMSegmentation's
    mDice; ``save_best='mF1'`` needs ``rule='greater'``.

    The scores of every class are logged as a table. Validation during training also draws them as
    curves, ``val/IoU/<class>``, ``val/Acc/<class>`` and so on, in all back ends of the visualizer.
    The table is written as ``class_scores.csv`` and ``class_scores.json``. The latter also has the
    confusion matrix, which ``confusion.png`` shows. With statistics, classes are sorted from head
    to tail everywhere.

    Args:
        statistics (str, optional): File of the training set's class statistics, from
            ``tools/analysis_tools/class_statistics.py --out``. Without it there are no groups.
        head (float): A class with at least this share of the training pixels belongs to the head.
        tail (float): A class with less than this share belongs to the tail.
        out_dir (str, optional): Folder of the files. None: the log directory of the run; without a
            log file, nothing is written. A prefix adds a subfolder, and so does validation during
            training, named by its iteration, ``iter_<n>``. Other evaluations overwrite earlier
            files in the same folder.
        ignore_index (int): Label of the pixels to leave out.
        **kwargs: ``collect_device``, ``prefix`` of names, as in ``'<prefix>/mIoU'``, and
            ``collect_dir``, see MMEngine's ``BaseMetric``.

    Attributes:
        path (str, optional): The argument ``statistics``.
        statistics (ClassStatistics, optional): The statistics in that file.
        scores (Scores, optional): Last evaluation's scores, on the main process; None before it.

    Raises:
        ValueError: If the statistics are unreadable or of other classes than the data set's, or
            unless 0 ≤ tail ≤ head ≤ 1.
    """

    def __init__(
        self,
        statistics: str | None = None,
        head: float = 0.05,
        tail: float = 0.02,
        out_dir: str | None = None,
        ignore_index: int = 255,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.out_dir = out_dir
        self.ignore_index = ignore_index
        self.scores: Scores | None = None
        self.path = statistics
        self.statistics: ClassStatistics | None = None
        self._of_classes: dict = {}
        if statistics is not None:
            self.statistics = ClassStatistics.load(statistics)
            share = self.statistics.pixel_share
            self._of_classes = dict(
                share=share,
                groups=class_groups(share, head, tail),
                image_share=self.statistics.image_share(),
            )
            self._thresholds = head, tail

    @BaseMetric.dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict) -> None:
        """Checks the statistics against the data set, before the first sample is evaluated."""
        BaseMetric.dataset_meta.fset(self, dataset_meta)
        self._classes = class_names(dataset_meta, 'the evaluated data set')
        self._forget()
        if self.statistics is not None:
            self._check_classes()
            self._log_groups()

    @property
    def score_names(self) -> tuple[str, ...]:
        """Names of the means that an evaluation returns, with the prefix."""
        nothing = np.zeros((len(self._classes),) * 2, np.int64)
        means = Scores(self._classes, nothing, **self._of_classes).means()
        return tuple('/'.join(filter(None, (self.prefix, name))) for name in means)

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Counts the pixels of a batch.

        Args:
            data_batch: Not used.
            data_samples: ``pred_sem_seg`` and ``gt_sem_seg`` of each sample.

        Raises:
            ValueError: If a label is missing, or neither a class nor ``ignore_index``, or if label
                and prediction differ in size; names the file.
        """
        for sample in data_samples:
            self._sum += self._last
            self._last = self._count(sample)
            self._seen += 1

    def evaluate(self, size: int) -> dict[str, float]:
        """Gathers the counts of all ranks and scores them.

        Args:
            size: Length of the data set.

        Returns:
            The means, on every rank.

        Raises:
            RuntimeError: If more samples were evaluated than the data set has.
        """
        rank, world_size = get_dist_info()
        seen, counts, last = self._seen, self._sum, self._last
        self._forget()
        # Sample i of this rank is sample i * world_size + rank overall, as in collect_results. From
        # `size` on, samplers repeat samples to give all ranks equally many: at most one per rank.
        # Where a sampler does not, a rank with one sample less may have one too many unnoticed.
        if seen > -(-size // world_size):
            raise RuntimeError(
                f'{seen} samples were evaluated on rank {rank} of {world_size}, more than its part '
                f'of the data set of {size}; was an earlier evaluation interrupted? Evaluate anew'
            )
        if (seen - 1) * world_size + rank < size:
            counts = counts + last
        self.results = [counts]  # the base class collects one result per rank
        return super().evaluate(world_size)

    def compute_metrics(self, results: Sequence[np.ndarray]) -> dict[str, float]:
        """Scores confusion matrices; logs, draws and writes the scores by class.

        Args:
            results: int64 (C, C) from each rank.

        Returns:
            The means in percent, without the prefix.
        """
        self.scores = scores = Scores(self._classes, sum(results), **self._of_classes)
        print_log(f'per class results (%):\n{scores.to_table()}', 'current')
        iteration = _training_iteration()
        if iteration is not None:
            self._draw_curves(scores, iteration)
        self._write(scores, iteration)
        return scores.means()

    def _forget(self) -> None:
        """Resets the counts; the last sample is kept apart, since it may be a repeated one."""
        num_classes = len(self._classes)
        self._seen = 0
        self._sum, self._last = np.zeros((2, num_classes, num_classes), np.int64)

    def _count(self, sample: dict) -> np.ndarray:
        if 'gt_sem_seg' not in sample:
            raise ValueError(
                f'{sample.get("img_path", "a sample")} has no label to evaluate: give the data set '
                "a data_prefix.seg_map_path, and its pipeline dict(type='LoadAnnotations')"
            )
        pred, label = (
            sample[key]['data'].squeeze().cpu().numpy() for key in ('pred_sem_seg', 'gt_sem_seg')
        )
        try:
            return confusion_matrix(pred, label, len(self._last), self.ignore_index)
        except ValueError as error:
            raise BadFileError(f'{sample.get("seg_map_path", "a sample")}: {error}') from error

    def _check_classes(self) -> None:
        found = self.statistics.classes
        if self._classes != found:
            raise ValueError(
                f'{self.path} has statistics of the classes {", ".join(found)}, the evaluated '
                f'data set has {", ".join(self._classes)}; name a file made with its classes'
            )

    def _log_groups(self) -> None:
        head, tail = self._thresholds
        limits = {'head': f' (≥ {100 * head:g} %)', 'tail': f' (< {100 * tail:g} %)'}
        members = list(zip(self._classes, self._of_classes['groups'], strict=True))
        parts = []
        for group in GROUPS:
            names = [name for name, member in members if member == group]
            parts.append(f'{group}{limits.get(group, "")}: {", ".join(names) or "none"}')
        print_log(f'classes by share of the training pixels: {"; ".join(parts)}', 'current')

    def _draw_curves(self, scores: Scores, iteration: int) -> None:
        tag = '/'.join(filter(None, ('val', self.prefix)))
        scalars = class_scalars(tag, scores.per_class, scores.classes)
        add_curves(Visualizer.get_current_instance(), scalars, iteration)

    def _write(self, scores: Scores, iteration: int | None) -> None:
        log_file = MMLogger.get_current_instance().log_file
        if self.out_dir is None and log_file is None:
            return
        # imported late: Matplotlib is slow to import
        from .confusion_figure import confusion_figure

        folder = Path(self.out_dir or Path(log_file).parent, self.prefix or '')
        if iteration is not None:
            folder /= f'iter_{iteration}'
        figure = confusion_figure(scores.classes, scores.confusion)
        try:
            write_atomically(folder / 'class_scores.csv', scores.to_csv().encode())
            write_atomically(folder / 'class_scores.json', scores.to_json().encode())
            write_figure(folder / 'confusion.png', figure, dpi=130)
        except OSError as error:  # a full disk must not end a training
            warn(f'ImbalanceMetric wrote no files: {error}')


def _training_iteration() -> int | None:
    """Returns the iterations of a training that is now validating, else None."""
    hub = MessageHub.get_current_instance()
    if hub.get_info('loop_stage') != 'val' or hub.get_info('iter') is None:
        return None
    return hub.get_info('iter') + 1  # 'iter' is the last one, counted from 0
