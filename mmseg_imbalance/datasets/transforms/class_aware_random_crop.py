"""A random crop that shows a class that was chosen before."""

from collections.abc import Sequence

import numpy as np
from mmcv.transforms.utils import cache_randomness
from mmseg.datasets.transforms import RandomCrop
from mmseg.registry import TRANSFORMS

from ..label_values import pixels_of_values
from ..samplers.class_probability import FREQUENCY_MODES, frequency_probability
from ..statistics import ClassStatistics

_TRIES = 10  # as in MMSegmentation's RandomCrop


@TRANSFORMS.register_module()
class ClassAwareRandomCrop(RandomCrop):
    """Chooses a class that the image shows, then a window with pixels of that class.

    In the place of MMSegmentation's RandomCrop, with the same keys and the same random generator
    (NumPy's global one, which the data loader's workers seed). The class is the one that
    :class:`ClassBalancedInfiniteSampler` drew the image for, where it did and the image still shows
    it; else one of the classes shown, by ``class_prob``. Then one of the class's pixels is drawn,
    and one of the windows that it lies in: the more pixels of the class a window holds, the more
    likely it is. An image smaller than the window is kept whole; without a labelled pixel, and
    without a class, the window is RandomCrop's.

    Args:
        crop_size: (height, width) of the window in pixels, or one number for both.
        cat_max_ratio: Windows in which one class covers at least this share of the labelled pixels
            are drawn anew, up to ten times; 1 takes every window.
        ignore_index: Label of pixels that belong to no class.
        class_prob: Probabilities of the classes where no class came along: ``'uniform'``,
            ``'inverse'``, ``'sqrt'`` or ``'rare'`` as in :func:`frequency_probability`, a list of
            one number ≥ 0 per class, or None for a plain random crop there. The sampler's
            ``'performance'`` reaches the crop with the classes that it draws, and not otherwise.
        statistics: File of class statistics, as from
            ``tools/analysis_tools/class_statistics.py``; for ``class_prob`` by frequency.
        temperature: T > 0 of ``'rare'``.

    Raises:
        ValueError: Unknown ``class_prob``, no statistics where they are needed, probabilities that
            are negative, or too few for the labels of an image.

    Example:
        >>> crop = ClassAwareRandomCrop(crop_size=(2, 2))
        >>> label = np.full((4, 6), 255, np.uint8)
        >>> label[3, 5] = 7
        >>> image = np.zeros((4, 6, 3), np.uint8)
        >>> crop(dict(img=image, gt_seg_map=label, seg_fields=['gt_seg_map']))['gt_seg_map']
        array([[255, 255],
               [255,   7]], dtype=uint8)
    """

    # cache_randomness would add crop_bbox to RandomCrop's list once more and take one call for two.
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
        self._probability = _probability(class_prob, statistics, temperature)

    @cache_randomness
    def crop_bbox(self, results: dict) -> tuple[int, int, int, int]:
        """Chooses a window.

        Args:
            results: With ``img`` (H, W, …), ``gt_seg_map`` (H, W) and, from the sampler,
                ``sample_idx``.

        Returns:
            First row, row after the last, first column, column after the last; reaching over the
            border of a smaller image, as RandomCrop's.
        """
        label = results['gt_seg_map']
        drawn_class = getattr(results.get('sample_idx'), 'drawn_class', None)
        pixels = np.empty(0) if drawn_class is None else np.flatnonzero(label == drawn_class)
        if not len(pixels):
            chosen = self._choose_class(label)
            if chosen is None:
                return super().crop_bbox(results)
            pixels = np.flatnonzero(label == chosen)
        for _ in range(_TRIES if self.cat_max_ratio < 1 else 1):
            row, column = divmod(pixels[np.random.randint(len(pixels))], label.shape[1])
            top = _offset(row, self.crop_size[0], label.shape[0])
            left = _offset(column, self.crop_size[1], label.shape[1])
            window = (top, top + self.crop_size[0], left, left + self.crop_size[1])
            if self._is_mixed(self.crop(label, window)):
                break
        return window

    def _choose_class(self, label: np.ndarray) -> int | None:
        """Draws one of the classes that a label map shows, None if there is none to draw."""
        if self.class_prob is None:
            return None
        shown = sorted(pixels_of_values(label).keys() - {self.ignore_index})
        if not shown:
            return None
        if self._probability is None:
            return shown[np.random.randint(len(shown))]
        if shown[-1] >= len(self._probability):
            raise ValueError(
                f'the label map holds class {shown[-1]}, but there are probabilities of '
                f'{len(self._probability)} classes (class_prob, statistics)'
            )
        weight = self._probability[shown]
        if not weight.any():
            return None
        return np.random.choice(shown, p=weight / weight.sum())

    def _is_mixed(self, label: np.ndarray) -> bool:
        """Whether no class covers too much of a window, as RandomCrop understands it."""
        if self.cat_max_ratio >= 1:
            return True
        pixels = pixels_of_values(label)
        pixels.pop(self.ignore_index, None)
        most, total = max(pixels.values(), default=0), sum(pixels.values())
        return len(pixels) > 1 and most / total < self.cat_max_ratio

    def __repr__(self) -> str:
        """What a printed pipeline shows."""
        return (
            f'{self.__class__.__name__}(crop_size={self.crop_size}, '
            f'cat_max_ratio={self.cat_max_ratio}, class_prob={self.class_prob!r})'
        )


def _offset(pixel: int, window: int, size: int) -> int:
    """Draws the first row (column) of a window inside the image that a pixel's row lies in."""
    last = max(size - window, 0)
    return np.random.randint(max(pixel - window + 1, 0), min(pixel, last) + 1)


def _probability(class_prob, statistics, temperature) -> np.ndarray | None:
    """Checks the arguments; None where all classes are alike."""
    if isinstance(class_prob, str):
        if class_prob not in FREQUENCY_MODES:
            raise ValueError(
                f'class_prob must be one of {FREQUENCY_MODES}, a list or None, got {class_prob!r}'
            )
        if class_prob == 'uniform':
            return None
        if statistics is None:
            raise ValueError(
                f'class_prob={class_prob!r} needs the frequencies of the classes: make a file with '
                'tools/analysis_tools/class_statistics.py and name it as statistics'
            )
        share = ClassStatistics.load(statistics).pixel_share
        return frequency_probability(class_prob, share, share > 0, temperature)
    if class_prob is None:
        return None
    probability = np.asarray(class_prob, dtype=np.float64)
    if probability.ndim != 1 or not (np.isfinite(probability) & (probability >= 0)).all():
        raise ValueError(f'class_prob must be numbers ≥ 0, one per class, got {class_prob!r}')
    return probability
