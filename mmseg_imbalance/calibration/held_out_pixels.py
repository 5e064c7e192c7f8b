"""What a calibration needs of held-out images, collected in one pass over them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

TAUS = tuple(i / 10 for i in range(-10, 21))
"""Strengths of the prior for which a pass counts confusion matrices; below 0 for networks whose
training has favoured rare classes too much."""


class PixelSample(NamedTuple):
    """Pixels that stand for all pixels of held-out images.

    Attributes:
        logits: float32 (n, C).
        label: int64 (n,), classes.
        weight: float64 (n,), of how many pixels with its label each one is an example, ≥ 1.
    """

    logits: np.ndarray
    label: np.ndarray
    weight: np.ndarray

    def confusion(self, offsets: np.ndarray) -> np.ndarray:
        """Estimates the confusion matrix of all pixels, float64 (C, C), for offsets (C,)."""
        num_classes = self.logits.shape[1]
        pred = (self.logits + offsets.astype(np.float32)).argmax(1)
        counts = np.bincount(self.label * num_classes + pred, self.weight, num_classes**2)
        return counts.reshape(num_classes, num_classes)


class HeldOutPixels:
    r"""Collects confusion matrices over tau and a sample of pixels from logits.

    The confusion matrices are exact. They are those of :math:`\arg\max_c f_c - \tau \log \pi_c`
    for logits f and class shares π: the post-hoc logit adjustment of A. K. Menon et al., *Long-Tail
    Learning via Logit Adjustment*, ICLR 2021, arXiv 2007.07314, equation 9, and the prior
    re-calibration of J. Tian et al., *Posterior Re-calibration for Imbalanced Datasets*, NeurIPS
    2020, arXiv 2010.11820.

    The sample is stratified: of every class in each half of the images, equally many pixels are
    drawn at random, without replacement. It takes 4 bytes for each of at most ``pixels`` · C
    logits, and :func:`ascend` three times that.

    Args:
        share: (C,), share or number of the training pixels of every class, ≥ 0. A network has only
            learned to keep the logits of a class without pixels low: such a class gets no help, but
            the smallest of the other classes' offsets, for every tau.
        pixels: How many pixels are kept at most.
        taus: Strengths of the prior, (T,), two or more, ascending; 0, the network as it is, is one.
        seed: Seed of the sample.
        ignore_index: Label of the pixels to leave out.

    Attributes:
        confusions (np.ndarray): int64 (2, T, C, C), of both halves, [true, predicted].
        images (np.ndarray): int64 (C,), how many images hold each class.
    """

    def __init__(
        self,
        share: np.ndarray,
        pixels: int = 200_000,
        taus: Sequence[float] = TAUS,
        seed: int = 0,
        ignore_index: int = 255,
    ) -> None:
        share = np.asarray(share, np.float64)
        num_classes = len(share)
        shown = share > 0
        if not (share >= 0).all() or not shown.any():
            raise ValueError(f'shares must be ≥ 0, not all 0, got {share.tolist()}')
        if pixels < 2 * num_classes or not _ascend(taus):
            raise ValueError(
                'a calibration needs at least 2 pixels of every class, '
                f'got {pixels} in all, and several ascending taus with 0, got {list(taus)}'
            )
        self.taus, self.ignore_index = tuple(taus), ignore_index
        log_share = np.log(share, where=shown, out=np.zeros(num_classes))
        # (T, C); without the mean, which changes no prediction
        self.tau_offsets = -np.outer(self.taus, log_share - log_share[shown].mean())
        self.tau_offsets[:, ~shown] = self.tau_offsets[:, shown].min(1, keepdims=True)
        self.confusions = np.zeros((2, len(self.taus), num_classes, num_classes), np.int64)
        self.images = np.zeros(num_classes, np.int64)
        self._room = pixels // (2 * num_classes)
        self._random = np.random.default_rng(seed)
        # Of each class in each half, the pixels with the smallest of random keys are kept.
        self._limit = np.ones((2, num_classes))
        empty = np.empty(0), np.empty((0, num_classes), np.float32)
        self._kept = [[empty] * num_classes for _ in range(2)]

    def update(self, logits: Tensor, label: Tensor, half: int) -> None:
        """Takes in a batch.

        Args:
            logits: (N, C, H, W), as the network returns them, on any device.
            label: (N, H, W), classes or ``ignore_index``.
            half: 0 or 1, to which half of the images they belong. Offsets of one half are checked
                on the other one, so alike images, such as the frames of a video, belong together.

        Raises:
            ValueError: If shapes do not fit, a label is no class or a logit is not finite.
        """
        num_classes = len(self.images)
        if logits.ndim != 4 or logits.shape[1] != num_classes or label.shape != logits[:, 0].shape:
            raise ValueError(
                f'logits must be (N, {num_classes}, H, W) and labels (N, H, W), got '
                f'{tuple(logits.shape)} and {tuple(label.shape)}'
            )
        label = label.to(logits.device).long()  # of bytes, 255 would equal -1
        for image, truth in zip(logits.detach(), label, strict=True):
            valid = truth != self.ignore_index
            self._add(image[:, valid].float(), truth[valid], int(half))

    def sample(self, half: int | None = None) -> PixelSample:
        """Returns the sample of one half of the images, or of both."""
        parts = []
        for h in (0, 1) if half is None else (half,):
            total = self.confusions[h, 0].sum(1)
            for c, (_, rows) in enumerate(self._kept[h]):
                weight = np.full(len(rows), total[c] / max(len(rows), 1))
                parts.append((rows, np.full(len(rows), c), weight))
        return PixelSample(*(np.concatenate(part) for part in zip(*parts, strict=True)))

    def _add(self, logits: Tensor, label: Tensor, half: int) -> None:
        """Takes in the valid pixels of an image, logits (C, n) and label (n,)."""
        num_classes = len(logits)
        present, classes = label.unique().tolist(), range(num_classes)
        if not set(present) <= set(classes):
            raise ValueError(f'the labels {present} are not all classes, 0 … {num_classes - 1}')
        if not logits.isfinite().all():
            raise ValueError('a logit is not finite')
        self.images[present] += 1
        for t, offsets in enumerate(logits.new_tensor(self.tau_offsets)):
            pred = (logits + offsets[:, None]).max(0).indices
            self.confusions[half, t] += _confusion(label, pred, num_classes)
        keys, label = self._random.random(len(label)), label.cpu().numpy()
        chosen = np.flatnonzero(keys < self._limit[half, label])
        rows = logits[:, torch.from_numpy(chosen).to(logits.device)].T.cpu().numpy()
        for c in np.unique(label[chosen]):
            of_c = label[chosen] == c
            self._keep(half, c, keys[chosen[of_c]], rows[of_c])

    def _keep(self, half: int, c: int, keys: np.ndarray, rows: np.ndarray) -> None:
        keys, rows = map(np.concatenate, zip(self._kept[half][c], (keys, rows), strict=True))
        if len(keys) > self._room:
            smallest = np.argpartition(keys, self._room)[: self._room]
            keys, rows = keys[smallest], rows[smallest]
            self._limit[half, c] = keys.max()
        self._kept[half][c] = keys, rows


def _ascend(taus: Sequence[float]) -> bool:
    return 0 in taus and len(taus) > 1 and list(taus) == sorted(set(taus))


def _confusion(label: Tensor, pred: Tensor, num_classes: int) -> np.ndarray:
    counts = torch.bincount(label * num_classes + pred, minlength=num_classes**2)
    return counts.view(num_classes, num_classes).cpu().numpy()
