"""Class probabilities for sampling, by frequency or by how well a class is predicted."""

import numpy as np

FREQUENCY_MODES = ('uniform', 'inverse', 'sqrt', 'rare')


def frequency_probability(
    mode: str, pixel_share: np.ndarray, available: np.ndarray, temperature: float = 0.01
) -> np.ndarray:
    r"""Computes class probabilities from pixel shares f.

    ============= ============================ ==================================================
    mode          probability of class c       source
    ============= ============================ ==================================================
    ``'uniform'`` constant
    ``'inverse'`` ∝ 1 / f_c
    ``'sqrt'``    ∝ 1 / √f_c                   like LVIS's repeat factors: A. Gupta, P. Dollár,
                                               R. Girshick, CVPR 2019, arXiv 1908.03195
    ``'rare'``    ∝ exp((1 - f_c) / T)         rare-class sampling: L. Hoyer, D. Dai, L. Van Gool,
                                               *DAFormer*, CVPR 2022, arXiv 2111.14887, eq. 9
    ============= ============================ ==================================================

    Args:
        mode: One of the above.
        pixel_share: (C,), share in [0, 1] of every class in all labelled pixels.
        available: (C,) bool, whether the class can be drawn; the others get 0.
        temperature: T > 0 of ``'rare'``; a smaller T favours the rarest classes more.

    Returns:
        float64 (C,), sum 1 (0 if no class is available).

    Raises:
        ValueError: For an unknown mode, T ≤ 0, or an available class without pixels.

    Example:
        >>> frequency_probability('inverse', np.array([0.8, 0.2, 0]), np.array([1, 1, 0], bool))
        array([0.2, 0.8, 0. ])
    """
    if mode not in FREQUENCY_MODES:
        raise ValueError(f'the class probability must be one of {FREQUENCY_MODES}, got {mode!r}')
    if not temperature > 0:
        raise ValueError(f'temperature must be > 0, got {temperature}')
    share = np.asarray(pixel_share, dtype=np.float64)[available]
    if not (share > 0).all():
        raise ValueError('a class that can be drawn has no pixels in the statistics')
    logits = {
        'uniform': np.zeros_like(share),
        'inverse': -np.log(share),
        'sqrt': -np.log(share) / 2,
        'rare': (1 - share) / temperature,
    }[mode]
    probability = np.zeros(len(available))
    if len(share):
        weight = np.exp(logits - logits.max())  # exp((1 - f) / T) itself overflows for small T
        probability[available] = weight / weight.sum()
    return probability


def performance_probability(
    score: np.ndarray, available: np.ndarray, gamma: float = 1.0, floor: float = 0.1
) -> np.ndarray:
    r"""Computes class probabilities from how well classes are predicted.

    .. math:: P_c = (1 - floor) \frac{(1 - score_c)^γ}{\sum_k (1 - score_k)^γ} + \frac{floor}{C}

    over the C available classes. This is the package's design: the loss max-pooling paper mixes
    uniform sampling with sampling by the model's current performance, but gives no formula.

    Args:
        score: (C,), IoU or recall of every class in [0, 1]; NaN (not yet known) counts as 0.
        available: (C,) bool, whether the class can be drawn; the others get 0.
        gamma: Exponent ≥ 0; 0 makes all classes equal, larger values favour the worst.
        floor: Share in [0, 1] of the draws that is spread equally, so that no class is neglected.

    Returns:
        float64 (C,), sum 1 (0 if no class is available).

    Example:
        >>> performance_probability(np.array([0.9, 0.6]), np.array([True, True]), floor=0)
        array([0.2, 0.8])
    """
    error = 1 - np.nan_to_num(np.asarray(score, dtype=np.float64), nan=0.0)[available]
    weight = np.clip(error, 0, 1) ** gamma
    if not weight.any():  # nothing is left to improve
        weight = np.ones_like(weight)
    probability = np.zeros(len(available))
    if len(weight):
        probability[available] = (1 - floor) * weight / weight.sum() + floor / len(weight)
    return probability
