"""Base of losses that know how frequent the classes are."""

import math
from collections.abc import Sequence

import torch

from ..statistics.class_statistics import ClassStatistics
from ..statistics.class_values import load_class_values
from .pixel_weighting_loss import PixelWeightingLoss


class ClassPriorLoss(PixelWeightingLoss):
    """Holds the logarithms of the class shares, given or from the statistics of the training data.

    Args:
        prior: Share or number of pixels of each class, > 0, or a ``.npy``, ``.json`` or ``.yaml``
            file with such a list. It should describe the pixels that training sees. None: from the
            statistics of the training data, which ``ClassStatisticsHook`` provides; they include
            repeated images and sampling by class, but not the choice of crops. A class without a
            pixel then counts as one pixel.
        **kwargs: See :class:`PixelWeightingLoss`.

    Attributes:
        log_prior: (C,) float32, the logarithms of the shares; empty until the statistics are set.

    Raises:
        ValueError: For a prior that cannot be read, is not > 0 everywhere or does not have
            ``num_classes`` entries.
    """

    def __init__(self, prior: Sequence[float] | str | None = None, **kwargs) -> None:
        super().__init__(**kwargs)
        self.prior_from_statistics = prior is None
        # Configuration, like class weights; empty until the statistics are set.
        self.register_buffer('log_prior', torch.tensor([], dtype=torch.float32), persistent=False)
        if prior is not None:
            self._set_prior(_load_prior(prior))

    @property
    def needs_statistics(self) -> bool:
        """Whether prior or class weights come from class statistics."""
        return self.prior_from_statistics or super().needs_statistics

    def use_statistics(self, statistics: ClassStatistics) -> dict[str, list[float]]:
        """Computes the prior too, see :meth:`SegmentationLoss.use_statistics`."""
        computed = super().use_statistics(statistics)
        if not self.prior_from_statistics:
            return computed
        pixels = statistics.total(statistics.pixels)
        return computed | {'prior': self._set_prior(pixels.clip(min=1).tolist())}

    def _set_prior(self, counts: list[float]) -> list[float]:
        """Stores the logarithms of the class shares and returns the shares."""
        self._check_length('prior', counts, self.num_classes)
        largest = max(counts)
        total = math.fsum(count / largest for count in counts)  # in the largest, to stay finite
        log_prior = [math.log(count) - math.log(largest) - math.log(total) for count in counts]
        self.log_prior = self.log_prior.new_tensor(log_prior)
        return [count / largest / total for count in counts]


def _load_prior(prior: Sequence[float] | str) -> list[float]:
    shares = load_class_values(prior, 'prior')
    if 0 in shares:
        raise ValueError(
            f'prior: that of class {shares.index(0)} is 0, and its logarithm minus infinity; '
            'give a class without a pixel a small share, such as that of one pixel'
        )
    return shares
