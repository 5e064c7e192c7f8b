"""A transform that pastes rare classes from other training images."""

import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

from .class_holders import class_holders
from .class_probability import frequency_probability
from .drawn_index import DrawnIndex
from .paste_class import check_paste, paste_class


@TRANSFORMS.register_module()
class RareClassCopyPaste(BaseTransform):
    """Pastes the pixels of rare classes from other training images, see :func:`paste_class`.

    It draws classes as :class:`ClassBalancedInfiniteSampler` does, and for each of them one of the
    images that show it. It is meant for classes that few images show, and comes first in the
    pipeline of MMSegmentation's ``MultiImageMixDataset``, before crops and mosaics, which change
    the size of the image that it pastes into. The inner data set loads images and label maps::

        load, augment = train_pipeline[:2], train_pipeline[2:]
        train_dataloader = dict(
            dataset=dict(
                type='MultiImageMixDataset',
                dataset=dict(type=dataset_type, data_root=data_root, pipeline=load),
                pipeline=[dict(type='RareClassCopyPaste'), *augment],
            )
        )

    Random numbers are from NumPy's global generator, as for MMSegmentation's transforms. So a
    resumed training pastes the same with ``IterSeedHook`` and ``num_workers=0``, on the fork of
    MMEngine; in worker processes all random augmentation starts anew.

    Args:
        prob: Probability in [0, 1] of pasting into an image.
        max_pasted: Largest number ≥ 1 of other images to paste from; all numbers from 1 are equally
            likely.
        class_prob: Class probabilities by pixel share, see :func:`frequency_probability`.
        temperature: T > 0 of ``'rare'``.
        statistics: File of class statistics. None: a file beside the data. If it does not exist,
            each worker of the data loader counts before its first image; to avoid this for a large
            data set, run ``tools/analysis_tools/class_statistics.py`` first.
        min_pixels: Pixels ≥ 1 of a class that an image needs to be drawn for it.
        scale: As for :func:`paste_class`, like the following ones.
        flip_prob: Probability of mirroring.
        max_shift: Largest vertical and horizontal shift.
        blend: Width in pixels of the border that fades.

    Raises:
        ValueError: For arguments out of range.
    """

    def __init__(
        self,
        prob: float = 0.5,
        max_pasted: int = 3,
        class_prob: str = 'rare',
        temperature: float = 0.01,
        statistics: str | None = None,
        min_pixels: int = 32,
        scale: tuple[float, float] = (0.5, 1.5),
        flip_prob: float = 0.5,
        max_shift: tuple[float, float] = (0.1, 0.5),
        blend: int = 0,
    ) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f'prob must be in [0, 1], got {prob}')
        for name, value in (('max_pasted', max_pasted), ('min_pixels', min_pixels)):
            if not value >= 1:
                raise ValueError(f'{name} must be ≥ 1, got {value}')
        # both raise here what they would raise in a worker
        frequency_probability(class_prob, np.ones(1), np.ones(1, bool), temperature)
        check_paste(scale, flip_prob, max_shift, blend)
        self.prob, self.max_pasted = prob, max_pasted
        self.class_prob, self.temperature = class_prob, temperature
        self.statistics, self.min_pixels = statistics, min_pixels
        self.options = dict(scale=scale, flip_prob=flip_prob, max_shift=max_shift, blend=blend)
        self._holders: list[np.ndarray] = []  # images with each class
        self._probability = np.empty(0)

    def get_indices(self, dataset) -> list[DrawnIndex]:
        """Draws the images to paste from; ``MultiImageMixDataset`` loads them.

        Args:
            dataset: The training set.

        Raises:
            ValueError: If no image shows ``min_pixels`` of any class.
        """
        if not self._holders:
            self._find(dataset)
        if np.random.uniform() >= self.prob:
            return []
        number = np.random.randint(self.max_pasted) + 1
        drawn = np.random.choice(len(self._holders), number, p=self._probability)
        return [DrawnIndex(np.random.choice(self._holders[c]), int(c)) for c in drawn]

    def transform(self, results: dict) -> dict:
        """Pastes from every image of ``mix_results`` the class that it was drawn for.

        Args:
            results: With ``img`` (H, W, 3), ``gt_seg_map`` (H, W) and ``mix_results``.

        Raises:
            ValueError: Without ``mix_results``.
        """
        if 'mix_results' not in results:
            raise ValueError(
                'RareClassCopyPaste gets no other images: put it into the pipeline of '
                "dict(type='MultiImageMixDataset', dataset=…, pipeline=…), whose dataset has a "
                'pipeline that loads images and label maps; there directly, not in RandomApply '
                '(use its argument prob)'
            )
        for other in results['mix_results']:
            pasted_class = getattr(other['sample_idx'], 'drawn_class', None)
            if pasted_class is None:  # MMEngine took any image in the place of a broken one
                continue
            results['img'], results['gt_seg_map'] = paste_class(
                results['img'],
                results['gt_seg_map'],
                other['img'],
                other['gt_seg_map'],
                pasted_class,
                **self.options,
            )
        return results

    def _find(self, dataset) -> None:
        """Finds the images that show each class, and the probability of each class."""
        # Processes come here at different times, so they do not wait for one another.
        counted, holders = class_holders(dataset, self.statistics, self.min_pixels, alone=True)
        available = np.array([len(images) > 0 for images in holders])
        if not available.any():
            raise ValueError(
                f'no image holds {self.min_pixels} pixels (min_pixels) of a class that '
                'RareClassCopyPaste could paste'
            )
        self._probability = frequency_probability(
            self.class_prob, counted.pixel_share, available, self.temperature
        )
        self._holders = holders

    def __repr__(self) -> str:
        """Describes the transform in a printed pipeline."""
        options = ', '.join(f'{name}={value!r}' for name, value in self.options.items())
        return (
            f'{self.__class__.__name__}(prob={self.prob}, max_pasted={self.max_pasted}, '
            f'class_prob={self.class_prob!r}, {options})'
        )
