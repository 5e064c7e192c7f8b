"""What a calibration maximises, for one confusion matrix and along the offset of one class."""

from dataclasses import dataclass

import numpy as np

from ..evaluation.confusion import class_scores, confusion_counts


@dataclass(frozen=True, eq=False)
class Objective:
    """The mean of a score over classes, if wished at a least mean precision.

    Args:
        score (str): ``'IoU'`` or ``'recall'``.
        members (np.ndarray): bool (C,), the classes in the mean; they have pixels.
        min_precision (float): Least mean precision of these classes, in [0, 1]; the mean leaves
            out classes that are never predicted.
    """

    score: str
    members: np.ndarray
    min_precision: float = 0.0

    def __call__(self, confusion: np.ndarray) -> float:
        """Returns the mean in [0, 1] or, below the least precision, a negative number.

        Args:
            confusion: (C, C), the entry [t, p] counts the pixels of class t predicted as p.
        """
        scores = self._scores(*confusion_counts(confusion))
        return float(self._combine(*(values[self.members].mean() for values in scores)))

    def along(
        self, c: int, rival: np.ndarray, label: np.ndarray, weight: np.ndarray, num_classes: int
    ) -> np.ndarray:
        """Computes the objective while one pixel after the other goes over to a class.

        Args:
            c: The class.
            rival: int (n,), which class each pixel has before it goes over; never c.
            label: int (n,), the true classes.
            weight: float64 (n,), for how many pixels each one counts.
            num_classes: Number of classes C.

        Returns:
            float64 (n + 1,): entry i is the objective after the first i pixels went over.
        """
        hit = weight * (label == rival)
        total = np.bincount(label, weight, num_classes)
        start = total, *(np.bincount(rival, values, num_classes) for values in (hit, weight))
        order = np.argsort(rival, kind='stable')  # rival by rival
        rivals = rival[order]
        firsts = np.flatnonzero(np.diff(rivals, prepend=-1))
        gone = [_sums_of_parts(values[order], firsts) for values in (hit, weight)]
        left = total[rivals], start[1][rivals] - gone[0], start[2][rivals] - gone[1]
        own = total[c], _sums(weight * (label == c)), _sums(weight)
        means = []
        stages = (self._scores(*counts) for counts in (start, left, own))
        for before, after, of_own in zip(*stages, strict=True):
            change = np.diff(after, prepend=0)
            change[firsts] = after[firsts] - before[rivals[firsts]]
            steps = np.empty(len(rival))
            steps[order] = change * self.members[rivals]
            curve = before @ self.members + _sums(steps) + self.members[c] * of_own
            means.append(curve / self.members.sum())
        return self._combine(*means)

    def _scores(self, *counts) -> list[np.ndarray]:
        """Computes the score from pixels, true positives and predicted pixels; 0 instead of NaN.

        With a least precision, the precision follows, and whether a class is predicted.
        """
        counts = np.stack(np.broadcast_arrays(*counts))
        counts[counts < 0.5] = 0  # pixels; differences of sums are not exactly 0
        names = (self.score, 'precision') if self.min_precision else (self.score,)
        scores = [np.nan_to_num(values) for values in class_scores(counts, names).values()]
        return [*scores, (counts[2] > 0).astype(float)] if self.min_precision else scores

    def _combine(self, score, precision=1.0, predicted=1.0):
        precision = precision / np.maximum(predicted, 1e-9)
        enough = precision >= self.min_precision - 1e-9  # sums are rounded
        return np.where(enough, score, precision - self.min_precision - 1)


def _sums(values: np.ndarray) -> np.ndarray:
    return np.concatenate([[0.0], np.cumsum(values)])


def _sums_of_parts(values: np.ndarray, firsts: np.ndarray) -> np.ndarray:
    """Returns cumulative sums that begin anew at each of ``firsts``."""
    lengths = np.diff(firsts, append=len(values))
    return np.cumsum(values) - np.repeat(_sums(values)[firsts], lengths)
