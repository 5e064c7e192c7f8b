"""A random crop that shows a previously chosen class."""

from collections.abc import Sequence

import numpy as np
from mmcv.transforms.utils import cache_randomness
from mmseg.datasets.transforms import RandomCrop
from mmseg.registry import TRANSFORMS

from ..statistics.class_statistics import ClassStatistics
from ..utils.logs import in_later_worker, warn
from .class_aware_window import class_aware_window
from .class_probability import FREQUENCY_MODES, frequency_probability

_TRIED = 16  # images for a class, of which at least half have to miss it before a warning


@TRANSFORMS.register_module()
class ClassAwareRandomCrop(RandomCrop):
    """Chooses a class that the image shows, then a window with pixels of that class.

    It replaces MMSegmentation's RandomCrop, with the same keys and the same random generator
    (NumPy's global one, which the data loader's workers seed). If
    :class:`ClassBalancedInfiniteSampler` drew the image for a class that it still shows, this class
    is chosen; otherwise one of the classes shown, by ``class_prob``. Then one of the class's pixels
    is drawn, and one of the windows that contain it: the more pixels of the class a window holds,
    the more likely it is. An image smaller than the window is kept whole. Without a labelled pixel
    or without a class, the window is any random one.

    Args:
        crop_size: (height, width) of the window in pixels, or one number for both.
        cat_max_ratio: Windows in which one class covers at least this share of the labelled pixels
            are redrawn, up to ten times; 1 accepts every window.
        ignore_index: Label of pixels that belong to no class.
        class_prob: Class probabilities if the sampler's class cannot be used: ``'uniform'``,
            ``'inverse'``, ``'sqrt'`` or ``'rare'`` as in :func:`frequency_probability`, a list of
            one number ≥ 0 per class, or None for a plain random crop. The sampler's
            ``'performance'`` affects the crop only through the classes that the sampler draws.
        statistics: File of class statistics, as from
            ``tools/analysis_tools/class_statistics.py``; for ``class_prob`` by frequency.
        temperature: T > 0 of ``'rare'``.

    Attributes:
        statistics_classes: Names of the classes of ``statistics``, None without it;
            ``ConsistencyHook`` compares them with those of the data set.

    Raises:
        ValueError: For an unknown ``class_prob``, missing statistics, probabilities that are
            negative or too few for the labels of an image, or a label map of another size than its
            image.

    Example:
        >>> crop = ClassAwareRandomCrop(crop_size=(2, 2))
        >>> label = np.full((4, 6), 255, np.uint8)
        >>> label[3, 5] = 7
        >>> image = np.zeros((4, 6, 3), np.uint8)
        >>> crop(dict(img=image, gt_seg_map=label, seg_fields=['gt_seg_map']))['gt_seg_map']
        array([[255, 255],
               [255,   7]], dtype=uint8)
    """

    statistics_classes: tuple[str, ...] | None = None

    # With RandomCrop's list, cache_randomness would add crop_bbox again and take one call for two.
    _methods_with_randomness: list[str] = []

    def __init__(
        self,
        crop_size: int | tuple[int, int],
        cat_max_ratio: float = 1.0,
        ignore_index: int = 255,
        class_prob: str | Sequence[float] | None = 'uniform',
        statistics: str | None = None,
        temperature: float = 0.01,
    ) -> None:
        super().__init__(crop_size, cat_max_ratio, ignore_index)
        self.class_prob = class_prob
        counted = None
        if statistics is not None and class_prob in FREQUENCY_MODES[1:]:  # not 'uniform'
            counted = ClassStatistics.load(statistics)
            self.statistics_classes = counted.classes
        self._probability = _probability(class_prob, counted, temperature)
        self._sent = self._missed = 0  # images for a class, and those of them without it
        self._warned = False

    @cache_randomness
    def crop_bbox(self, results: dict) -> tuple[int, int, int, int]:
        """Chooses a window.

        Args:
            results: With ``img`` (H, W, …), ``gt_seg_map`` (H, W) and, from the sampler,
                ``sample_idx``.

        Returns:
            First row, row after the last, first column, column after the last. Like RandomCrop's,
            the window reaches beyond a smaller image.
        """
        drawn_class = getattr(results.get('sample_idx'), 'drawn_class', None)
        label = results['gt_seg_map']
        if label.shape[:2] != results['img'].shape[:2]:
            raise ValueError(
                'the image has {1} x {0} pixels, its label map {3} x {2}: resize both alike'.format(
                    *results['img'].shape[:2], *label.shape[:2]
                )
            )
        window = class_aware_window(
            label,
            self.crop_size,
            drawn_class,
            self._probability,
            self.cat_max_ratio,
            self.ignore_index,
        )
        if drawn_class is not None:  # if the image shows it, the window does, too
            top, bottom, left, right = window
            self._note(drawn_class, drawn_class in label[top:bottom, left:right])
        return window

    def _note(self, drawn_class: int, shown: bool) -> None:
        """Warns once if most images do not show the class that the sampler drew them for."""
        if in_later_worker():  # the cause is in the images of all workers alike
            return
        self._sent += 1
        self._missed += not shown
        if self._missed > _TRIED // 2 and self._missed > self._sent / 2 and not self._warned:
            self._warned = True
            warn(
                f'{self._missed} of {self._sent} images do not show the class that the sampler '
                f'drew them for (last: class {drawn_class}) at ClassAwareRandomCrop: does '
                'a transform after LoadAnnotations change class ids or cut objects away, or are '
                'the class statistics those of other label maps?',
            )

    def __repr__(self) -> str:
        """Describes the crop in a printed pipeline."""
        return (
            f'{self.__class__.__name__}(crop_size={self.crop_size}, '
            f'cat_max_ratio={self.cat_max_ratio}, class_prob={self.class_prob!r})'
        )


def _probability(class_prob, statistics, temperature) -> np.ndarray | str | None:
    """Returns checked probabilities, or ``'uniform'`` or None as it is."""
    if isinstance(class_prob, str):
        if class_prob not in FREQUENCY_MODES:
            raise ValueError(
                f'class_prob must be one of {FREQUENCY_MODES}, a list or None, got {class_prob!r}'
            )
        if class_prob == 'uniform':
            return class_prob
        if statistics is None:
            raise ValueError(
                f'class_prob={class_prob!r} needs the frequencies of the classes: make a file with '
                'tools/analysis_tools/class_statistics.py and name it as statistics'
            )
        share = statistics.pixel_share
        return frequency_probability(class_prob, share, share > 0, temperature)
    if class_prob is None:
        return None
    probability = np.asarray(class_prob, dtype=np.float64)
    if probability.ndim != 1 or not (np.isfinite(probability) & (probability >= 0)).all():
        raise ValueError(f'class_prob must be numbers ≥ 0, one per class, got {class_prob!r}')
    return probability
