"""The choice between no offsets, those of one tau, and one offset per class."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from .ascent import ascend
from .held_out_pixels import HeldOutPixels
from .objective import Objective

KINDS = ('none', 'tau', 'class')
"""The network as it is, tau times the negative log prior, and one offset per class."""
SLACK = 0.02
"""By how much other images than those of the offsets may miss a least mean precision."""
MIN_IMAGES = 8
"""A class in fewer images keeps the offset of tau."""


class Calibration(NamedTuple):
    """Offsets of each of :data:`KINDS`, and which kind to take.

    Attributes:
        kind: The kind that did best on the images that its offsets were not made of.
        tau: The strength of the prior of ``offsets['tau']``.
        offsets: float64 (C,) of each kind, made of all images.
        confusions: (C, C) of each kind, of all images: exact, ``'class'`` estimated by the sample.
        checked: The objective of each kind on the images of the other half, over the classes that
            it shows, mean of both halves, with :data:`SLACK`.
    """

    kind: str
    tau: float
    offsets: dict[str, np.ndarray]
    confusions: dict[str, np.ndarray]
    checked: dict[str, float]


def calibrate(
    pixels: HeldOutPixels, objective: Objective, min_images: int = MIN_IMAGES
) -> Calibration:
    """Finds offsets and guards against overfitting: what one half finds, the other half judges.

    One offset per class starts at the best tau. The simpler kind is taken if it does as well.

    Args:
        pixels: What was collected, with images in both halves.
        objective: What is maximised.
        min_images: A class in fewer images keeps the offset of tau.

    Raises:
        ValueError: If a half has no pixels of the classes that are scored.
    """
    shown = pixels.confusions[:, 0].any(2)  # a half knows nothing of classes that it does not show
    if not (shown & objective.members).any(1).all():
        raise ValueError('both halves of the held-out images need pixels of the scored classes')
    movable = pixels.images >= min_images
    lenient = replace(objective, min_precision=max(objective.min_precision - SLACK, 0))
    checks = []
    for half in (0, 1):
        here, there = (objective.members & shown[h] for h in (half, 1 - half))
        _, found = _fit(pixels, replace(objective, members=here), movable & shown[half], half)
        judge, sample = replace(lenient, members=there), pixels.sample(1 - half)
        checks.append([judge(sample.confusion(found[kind])) for kind in KINDS])
    checked = dict(zip(KINDS, np.mean(checks, 0).tolist(), strict=True))
    tau, offsets = _fit(pixels, objective, movable, None)
    exact = dict(zip(pixels.taus, pixels.confusions.sum(0), strict=True))
    estimate = pixels.sample().confusion(offsets['class'])
    confusions = dict(none=exact[0], tau=exact[tau], **{'class': estimate})
    return Calibration(max(KINDS, key=checked.get), tau, offsets, confusions, checked)


def _fit(
    pixels: HeldOutPixels, objective: Objective, movable: np.ndarray, half: int | None
) -> tuple[float, dict[str, np.ndarray]]:
    """Finds tau and the offsets of every kind on one half of the images, or on all."""
    confusions = pixels.confusions.sum(0) if half is None else pixels.confusions[half]
    best = int(np.argmax([objective(confusion) for confusion in confusions]))
    start = pixels.tau_offsets[best]
    by_class = ascend(pixels.sample(half), objective, start, movable)
    return pixels.taus[best], dict(none=np.zeros(len(start)), tau=start, **{'class': by_class})
