"""The order of samples as a pure function of seed, position and class probabilities.

Draws come in blocks. All random numbers of a block come from a counter-based generator keyed by
the seed and the block's number. So any position can be computed without those before it: resuming
needs no replay, and every rank can compute its slice of one common stream. Only ``random_raw`` of
NumPy's Philox is used, whose values must not change between releases.
"""

import bisect
from collections.abc import Sequence

import numpy as np

BLOCK = 1024
UNIFORM = -1  # the class of a draw without a class
_EPOCHS, _DRAWS = 0, 1  # streams of random numbers


class DrawStream:
    """An endless stream of image indices, some drawn in epochs and some by class.

    Of every ``BLOCK`` consecutive draws, the share ``uniform_ratio``, at random places, takes the
    next images of an endless sequence of shuffled epochs. These draws take all images equally
    often, up to one. Each other draw takes a class, then one of the images that hold it, all
    equally likely.

    Args:
        holders: Ascending indices of the images that hold each class.
        size: Number of images.
        uniform_ratio: Share of the draws that are taken from the epochs, in [0, 1].
        seed: Seed ≥ 0 of the stream.
    """

    def __init__(
        self, holders: Sequence[np.ndarray], size: int, uniform_ratio: float, seed: int
    ) -> None:
        lengths = [len(images) for images in holders]
        self._first = np.cumsum([0, *lengths[:-1]])
        self._length = np.array(lengths)
        self._images = np.concatenate(holders).astype(np.int32)
        self._size = size
        self._uniform_ratio = uniform_ratio
        self._seed = seed
        self._epoch = (-1, np.empty(0, np.int64))

    def block(
        self, number: int, schedule: Sequence[tuple[int, np.ndarray]]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Computes the draws ``number * BLOCK`` … ``number * BLOCK + BLOCK - 1``.

        Args:
            number: Number of the block, from 0.
            schedule: Ascending positions in the stream, each with the class probabilities (C,) from
                there on; the first ones hold from the start.

        Returns:
            Image indices (BLOCK,), and the classes (BLOCK,) that they were drawn for, or
            ``UNIFORM``.
        """
        place, u_class, u_image = self._random(_DRAWS, number, 3 * BLOCK).reshape(3, BLOCK)
        # Whole blocks take exact shares, so the position in the epochs is known without counting.
        taken, after = (int(self._uniform_ratio * BLOCK * n) for n in (number, number + 1))
        uniform = np.zeros(BLOCK, bool)
        uniform[np.argsort(place, kind='stable')[: after - taken]] = True

        images, classes = self._by_class(number * BLOCK, u_class, u_image, ~uniform, schedule)
        images[uniform], classes[uniform] = self._from_epochs(taken, after), UNIFORM
        return images, classes

    def _by_class(self, start, u_class, u_image, wanted, schedule) -> tuple[np.ndarray, np.ndarray]:
        classes = np.zeros(BLOCK, np.int64)
        in_force = max(bisect.bisect_right(schedule, start, key=lambda entry: entry[0]) - 1, 0)
        for i, (since, probability) in enumerate(schedule[in_force:]):
            held = slice(max(since - start, 0) if i else 0, BLOCK)
            if held.start >= BLOCK:
                break
            cumulated = np.cumsum(probability)
            cumulated /= max(cumulated[-1], np.finfo(np.float64).tiny)
            classes[held] = np.searchsorted(cumulated, u_class[held], side='right')
        images = np.zeros(BLOCK, np.int64)
        c = classes[wanted]
        nth = (u_image[wanted] * self._length[c]).astype(np.int64)
        images[wanted] = self._images[self._first[c] + nth]
        return images, classes

    def _from_epochs(self, start: int, stop: int) -> np.ndarray:
        """Returns entries ``start`` … ``stop - 1`` of the shuffled epochs."""
        pieces = []
        while start < stop:
            epoch, first = divmod(start, self._size)
            if self._epoch[0] != epoch:
                keys = self._random(_EPOCHS, epoch, self._size)
                self._epoch = (epoch, np.argsort(keys, kind='stable'))
            piece = self._epoch[1][first : first + stop - start]
            pieces.append(piece)
            start += len(piece)
        return np.concatenate(pieces) if pieces else np.empty(0, np.int64)

    def _random(self, stream: int, number: int, n: int) -> np.ndarray:
        """Returns a part's first n random numbers in [0, 1), multiples of 2^-53."""
        generator = np.random.Philox(key=[self._seed, stream], counter=[0, 0, 0, number])
        return (generator.random_raw(n) >> np.uint64(11)) * 2.0**-53
