"""Coordinate ascent: the offset of one class after the other is moved to its optimum."""

import numpy as np

from .held_out_pixels import PixelSample
from .objective import Objective

BOUND = 4.0
"""How far an offset moves from its start at most, in units of the logits (odds of e⁴ ≈ 55)."""
_SWEEPS, _TOLERANCE = 20, 1e-4


def ascend(
    sample: PixelSample,
    objective: Objective,
    start: np.ndarray,
    movable: np.ndarray,
    bound: float = BOUND,
) -> np.ndarray:
    """Maximises an objective over the offsets of the classes, one class at a time.

    Between two pixels whose prediction it changes, an offset changes nothing. So its best value is
    found exactly, by sorting the pixels by their margin. The optimum over all offsets together may
    be missed.

    Args:
        sample: The pixels.
        objective: What is maximised.
        start: (C,) offsets to start from.
        movable: bool (C,), the classes whose offsets may change.
        bound: How far from their start.

    Returns:
        float64 (C,), on the sample at least as good as ``start``.
    """
    offsets = start.astype(np.float64)
    best = objective(sample.confusion(offsets))
    for _ in range(_SWEEPS):
        before = best
        for c in np.flatnonzero(movable):
            limits = start[c] - bound, start[c] + bound
            trial = offsets.copy()
            trial[c], expected = _best_offset(sample, objective, offsets, c, *limits)
            if expected > best + _TOLERANCE / 10:
                value = objective(sample.confusion(trial))  # margins in float32 are rounded
                offsets, best = max((offsets, best), (trial, value), key=lambda pair: pair[1])
        if best - before < _TOLERANCE:
            break
    return offsets


def _best_offset(
    sample: PixelSample, objective: Objective, offsets: np.ndarray, c: int, low: float, high: float
) -> tuple[float, float]:
    """Returns the best offset of class c between two bounds, amid its interval, and its value."""
    others = sample.logits + offsets.astype(np.float32)
    others[:, c] = -np.inf
    margin = others.max(1) - sample.logits[:, c]  # a pixel is c's where the offset is larger
    order = np.argsort(margin)
    rival, label, weight = others.argmax(1)[order], sample.label[order], sample.weight[order]
    values = objective.along(c, rival, label, weight, len(offsets))
    edges = np.concatenate([[low], margin[order].clip(low, high), [high]])
    values[edges[:-1] >= edges[1:]] = -np.inf  # beyond the bounds, or between equal margins
    best = int(values.argmax())
    return (edges[best] + edges[best + 1]) / 2, values[best]
