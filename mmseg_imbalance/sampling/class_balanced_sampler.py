"""A sampler of images by the classes that they hold."""

import math
from collections.abc import Iterator, Sized

import numpy as np
from torch.utils.data import Sampler, Subset

from ..registry import DATA_SAMPLERS
from ..statistics.class_statistics import ClassStatistics
from ..utils.distributed import get_dist_info, shared_random_seed
from ..utils.logs import warn
from .class_holders import class_holders
from .class_probability import FREQUENCY_MODES, frequency_probability, performance_probability
from .draw_stream import BLOCK, UNIFORM, DrawStream
from .drawn_index import DrawnIndex
from .epochs import current_epoch, is_over

PERFORMANCE = 'performance'


@DATA_SAMPLERS.register_module()
class ClassBalancedInfiniteSampler(Sampler):
    r"""Draws some images in shuffled epochs, others by the classes that they hold.

    It adds class-driven sampling to the uniform one, in the spirit of S. Rota Bulò, G. Neuhold,
    P. Kontschieder, *Loss Max-Pooling for Semantic Image Segmentation*, CVPR 2017, arXiv
    1704.02966, section 4. The paper gives no details: the design is this package's own. The share
    ``uniform_ratio`` of the draws takes every image equally often; each of the others draws a class
    c with probability P_c, then one of the images that hold at least ``min_pixels`` of it. The
    sampler works with any loss. :class:`ClassAwareRandomCrop` receives the drawn class and keeps
    pixels of it in the crop::

        custom_imports = dict(imports=['mmseg_imbalance'])
        train_dataloader = dict(sampler=dict(_delete_=True, type='ClassBalancedInfiniteSampler'))

    The draws are one endless stream, a pure function of the seed, which is sliced by rank. It is
    the same on 1, 2 or 8 ranks, and a resumed run continues it (:meth:`skip`). In a training by
    epochs, each rank's epoch has as many draws as the data set has images per rank, rounded up, and
    the next epoch continues the stream.

    ``class_prob='performance'`` needs ``dict(type='ClassFeedbackHook')`` in ``custom_hooks``, which
    scores the classes during training and passes the scores to the sampler. Until the first scores
    arrive, all classes are equal. Scores take effect with the first batch that no worker has yet,
    ``num_workers * prefetch_factor`` iterations later (``prefetch_factor`` is 2 by default). The
    hook also saves the sampler's state in checkpoints. Without it, a run to be resumed needs a
    fixed seed (``randomness=dict(seed=…)``), since MMEngine draws a new one for the sampler.

    Args:
        dataset: The training set, with or without wrappers that concatenate or repeat.
        seed: Seed of the stream; None draws one that all ranks share. The runner sets it.
        statistics: File of class statistics, as from ``tools/analysis_tools/class_statistics.py``.
            None: a file beside the data, named after the data set's fingerprint. If the file does
            not exist, the first process counts and saves. Or the statistics themselves. For a data
            set that is none of MMEngine they or their file have one row per image, in the order of
            the data set, as from :func:`mmseg_imbalance.statistics.count_label_maps`.
        uniform_ratio: Share of the draws from shuffled epochs, in [0, 1].
        class_prob: P_c of the other draws by pixel share f_c: ``'uniform'``, ``'inverse'``
            (∝ 1 / f_c), ``'sqrt'`` (∝ 1 / √f_c) or ``'rare'`` (∝ exp((1 - f_c) / T)), see
            :func:`frequency_probability`; or ``'performance'`` (∝ (1 - score_c)^γ and a floor), see
            :func:`performance_probability`.
        temperature: T > 0 of ``'rare'``.
        score: ``'IoU'`` or ``'recall'`` for ``'performance'``.
        gamma: γ ≥ 0 for ``'performance'``.
        floor: Share in [0, 1] spread equally over all classes for ``'performance'``.
        min_pixels: Pixels ≥ 1 of a class, in the label map's own resolution, that an image needs to
            be drawn for it. A class for which no image has enough pixels is named in the log and
            left out.

    Attributes:
        by_epoch: Whether the training is known to be one by epochs. ``ConsistencyHook`` sets it;
            without it, a training of a single epoch is only ended after its last iteration, and
            another runner in the same process may hide the epochs.

    Raises:
        ValueError: For arguments out of range, an empty data set, no class to draw, or a statistics
            file that cannot be read or was made for other data.
    """

    def __init__(
        self,
        dataset: Sized,
        seed: int | None = None,
        statistics: str | ClassStatistics | None = None,
        uniform_ratio: float = 0.5,
        class_prob: str = 'rare',
        temperature: float = 0.01,
        score: str = 'IoU',
        gamma: float = 1.0,
        floor: float = 0.1,
        min_pixels: int = 32,
    ) -> None:
        _check(uniform_ratio, class_prob, score, gamma, floor, min_pixels)
        if len(dataset) == 0:
            raise ValueError('the data set is empty: there is nothing to sample')
        self.rank, self.world_size = get_dist_info()
        if isinstance(dataset, Subset) and self.rank == 0:
            warn(
                'ClassBalancedInfiniteSampler: torch.utils.data.Subset hides from its data set for '
                'which class an image was drawn, so crops need not show it; choose the images in '
                'the data set itself'
            )
        self.seed = int(shared_random_seed() if seed is None else seed)
        self.size = len(dataset)
        self.score, self.gamma, self.floor = score, gamma, floor
        self.adaptive = class_prob == PERFORMANCE

        counted, self._holders = class_holders(dataset, statistics, min_pixels)
        self.classes = counted.classes
        self._available = np.array([len(images) > 0 for images in self._holders])
        self._name_missing(counted, min_pixels, uniform_ratio)
        self._uniform_ratio = uniform_ratio
        self._start_stream()

        if self.adaptive:
            unknown = np.full(len(self.classes), np.nan)
            probability = performance_probability(unknown, self._available, gamma, floor)
        else:
            share = counted.pixel_share
            probability = frequency_probability(class_prob, share, self._available, temperature)
        self._first_probability = probability
        # Positions in the common stream, and the class probabilities that hold from there on.
        self._schedule = [(0, probability)]
        self._drawn = 0  # by this rank
        self.by_epoch = False
        self._epoch: int | None = None  # as MMEngine has announced it
        self._fed = self._warned = False

    @property
    def class_prob(self) -> dict[str, float]:
        """The latest probability of every class, by name."""
        return dict(zip(self.classes, self._schedule[-1][1].tolist(), strict=True))

    def __iter__(self) -> Iterator[int]:
        """Continues this rank's draws; draws for a class are of type :class:`DrawnIndex`.

        In a training by epochs, it gives the draws of the current epoch.
        """
        epoch, end = current_epoch(), math.inf
        if self.by_epoch:
            epoch = (epoch or 0) if self._epoch is None else self._epoch
        if epoch is not None:  # also after resuming, since such a training resumes at an epoch
            self._drawn = epoch * len(self)
            end = self._drawn + len(self)
        while self._drawn < end and (end < math.inf or not is_over()):
            position = self._drawn * self.world_size + self.rank
            number, offset = divmod(position, BLOCK)
            if self._block[0] != number:
                self._warn_without_feedback(number)
                self._block = (number, *self._stream.block(number, self._schedule))
            _, images, classes = self._block
            self._drawn += 1
            index, drawn_class = int(images[offset]), int(classes[offset])
            yield index if drawn_class == UNIFORM else DrawnIndex(index, drawn_class)

    def __len__(self) -> int:
        """Returns the draws of this rank in an epoch: the images per rank, rounded up."""
        return -(-self.size // self.world_size)

    def set_epoch(self, epoch: int) -> None:
        """Notes which epoch is next; MMEngine calls it. Each epoch continues the stream.

        It has an effect where the training is known to be one by epochs, see ``by_epoch``.
        """
        self._epoch = epoch

    def expected_draws(self) -> np.ndarray:
        """Returns each image's expected share of the draws, in closed form.

        With ``class_prob='performance'``, these are the shares before the first feedback.

        Returns:
            float64 (number of images,), sum 1.
        """
        share = np.full(self.size, self._uniform_ratio / self.size)
        for images, probability in zip(self._holders, self._first_probability, strict=True):
            if len(images):
                share[images] += (1 - self._uniform_ratio) * probability / len(images)
        return share

    def skip(self, num_samples: int) -> None:
        """Moves to a position at no cost; MMEngine calls it on resuming.

        Args:
            num_samples: Draws ≥ 0 of this rank since the start of the training.
        """
        if num_samples < 0:
            raise ValueError(f'num_samples must be ≥ 0, got {num_samples}')
        self._drawn = num_samples

    def expect_feedback(self) -> None:
        """Announces calls of :meth:`update`; to be called before training."""
        self._fed = True

    def update(self, scores: dict[str, np.ndarray], num_samples: int) -> None:
        """Computes the class probabilities for all future draws from new scores.

        All ranks have to call it at the same point of the training, with the same scores. It does
        nothing unless ``class_prob`` is ``'performance'``.

        Args:
            scores: ``'IoU'`` and ``'recall'`` of all classes, each (C,) in [0, 1] or NaN.
            num_samples: Draws of this rank that training has used up. Loader and workers hold
                later draws, made with earlier probabilities, which a run that is resumed here
                needs; older probabilities are dropped.
        """
        if not self.adaptive:
            return
        self._fed = True
        probability = performance_probability(
            scores[self.score], self._available, self.gamma, self.floor
        )
        # All ranks have drawn equally often, so this is the position in the common stream.
        now, used = self._drawn * self.world_size, num_samples * self.world_size
        # After resuming on fewer ranks, pending entries may lie beyond it.
        schedule = [entry for entry in self._schedule if entry[0] < now]
        outdated = sum(since <= used for since, _ in schedule[1:])
        self._schedule = [*schedule[outdated:], (now, probability)]
        self._block = (-1, None, None)

    def state_dict(self) -> dict:
        """Returns what a resumed run needs besides its position, in plain types."""
        state = dict(seed=self.seed, classes=list(self.classes))
        if self.adaptive:
            state['schedule'] = [(since, p.tolist()) for since, p in self._schedule]
        return state

    def load_state_dict(self, state: dict) -> None:
        """Restores what :meth:`state_dict` returned, but keeps a changed ``class_prob``.

        Raises:
            ValueError: If the state is of other classes, or has probabilities of classes that
                cannot be drawn here.
        """
        if state['classes'] != list(self.classes):
            raise ValueError(
                f'the checkpoint was sampled by the classes {state["classes"]}, the data set has '
                f'{list(self.classes)}; train anew instead of resuming'
            )
        self.seed = state['seed']
        self._start_stream()
        if self.adaptive and 'schedule' in state:
            schedule = [(since, np.array(p, np.float64)) for since, p in state['schedule']]
            if any(p[~self._available].any() for _, p in schedule):
                raise ValueError(
                    'the checkpoint was sampled by classes that no image holds now: have the data '
                    'or min_pixels changed? Train anew instead of resuming'
                )
            self._schedule = schedule

    def _start_stream(self) -> None:
        self._stream = DrawStream(self._holders, self.size, self._uniform_ratio, self.seed)
        self._block = (-1, None, None)

    def _name_missing(
        self, counted: ClassStatistics, min_pixels: int, uniform_ratio: float
    ) -> None:
        missing = [
            name
            for name, available in zip(counted.classes, self._available, strict=True)
            if not available
        ]
        where = f'no image holds {min_pixels} pixels of it (min_pixels)'
        if len(missing) == len(counted.classes) and uniform_ratio < 1:
            raise ValueError(
                f'no class can be drawn: for each class, {where}; '
                f'{counted.ignored_share:.1%} of all pixels are ignored'
            )
        if missing and self.rank == 0:
            warn(
                f'ClassBalancedInfiniteSampler leaves out {", ".join(missing)}: {where}; '
                f'{counted.ignored_share:.1%} of all pixels are ignored',
            )

    def _warn_without_feedback(self, block: int) -> None:
        # Not in the first block: some loaders draw their first batches before training begins.
        if self.adaptive and not self._fed and not self._warned and block > 0 and self.rank == 0:
            self._warned = True
            warn(
                f'all classes are still drawn alike after {block * BLOCK} draws: '
                "class_prob='performance' needs dict(type='ClassFeedbackHook') in custom_hooks or, "
                "without MMSegmentation, calls of the sampler's expect_feedback and update",
            )


def _check(uniform_ratio, class_prob, score, gamma, floor, min_pixels) -> None:
    modes = (*FREQUENCY_MODES, PERFORMANCE)
    if class_prob not in modes:
        raise ValueError(f'class_prob must be one of {modes}, got {class_prob!r}')
    if score not in ('IoU', 'recall'):
        raise ValueError(f"score must be 'IoU' or 'recall', got {score!r}")
    for name, value in (('uniform_ratio', uniform_ratio), ('floor', floor)):
        if not 0 <= value <= 1:
            raise ValueError(f'{name} must be in [0, 1], got {value}')
    if not gamma >= 0:
        raise ValueError(f'gamma must be ≥ 0, got {gamma}')
    if not min_pixels >= 1:
        raise ValueError(f'min_pixels must be ≥ 1, got {min_pixels}')
