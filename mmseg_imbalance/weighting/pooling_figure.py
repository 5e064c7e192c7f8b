"""Draws the weights of loss max-pooling for given losses, to choose p and ratio by eye."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure

from ..ops.max_pooling import max_pooling_weights
from ..utils.axes import add_light_grid


def weighting_figure(losses: np.ndarray, ps: Sequence[float], ratios: Sequence[float]) -> Figure:
    """Draws the weight of every pixel against the rank of its loss, for a grid of p and ratio.

    The first panel shows the losses from the largest to the smallest. Each other panel shows the
    weights for one ratio, in units of the weight that the mean gives every pixel.

    Args:
        losses: (n,) pixel losses, finite and ≥ 0, in any order.
        ps: Values of p in [1, inf], one line each.
        ratios: Values of m / n in (0, 1], one panel each.

    Returns:
        The figure, which the caller saves.

    Raises:
        ValueError: If there are no losses, or some are negative, not finite or not one-dimensional.
    """
    with np.errstate(over='ignore'):  # numbers beyond double precision become infinite
        losses = np.asarray(losses, np.float64)
    if losses.ndim != 1 or not losses.size:
        raise ValueError(f'losses must be a list of numbers, got an array of shape {losses.shape}')
    if not ((losses >= 0) & (losses <= np.finfo(np.float32).max)).all():
        raise ValueError('losses must be finite, in single precision, and ≥ 0')
    losses = np.sort(losses.astype(np.float32))[::-1].copy()
    columns = min(1 + len(ratios), 3)
    rows = -(-(1 + len(ratios)) // columns)
    figure = Figure(figsize=(4.2 * columns, 3.2 * rows + 0.5), layout='constrained')
    axes = figure.subplots(rows, columns, squeeze=False)
    first, *others = axes.flat
    _draw_losses(first, losses)
    for axis, ratio in zip(others, ratios, strict=False):
        _draw_weights(axis, losses, ps, ratio)
    for axis in others[len(ratios) :]:
        axis.set_visible(False)
    figure.legend(
        *others[0].get_legend_handles_labels(), loc='outside upper center', ncols=len(ps) + 1,
        frameon=False,
    )  # fmt: skip
    return figure


def _draw_losses(axis, losses: np.ndarray) -> None:
    axis.fill_between(_rank(losses), losses, color='0.8', linewidth=0)
    axis.set(title='the losses', ylabel='loss', ylim=(0, None))
    _finish(axis)


def _draw_weights(axis, losses: np.ndarray, ps: Sequence[float], ratio: float) -> None:
    loss = torch.from_numpy(losses)[None]
    colours = colormaps['viridis'](np.linspace(0, 0.9, len(ps)))
    for p, colour in zip(ps, colours, strict=True):
        weights = max_pooling_weights(loss, torch.ones_like(loss, dtype=torch.bool), p, ratio)
        axis.plot(_rank(losses), weights[0].numpy(), color=colour, label=f'p = {_number(p)}')
    axis.axhline(1, color='0.5', linestyle=':', label='the mean')
    axis.set(
        title=f'ratio = {_number(ratio)}', ylabel='weight, 1 is that of the mean', ylim=(0, None)
    )
    _finish(axis)


def _finish(axis) -> None:
    axis.set(xlim=(0, 100), xlabel='pixels in %, largest loss first')
    add_light_grid(axis)


def _rank(losses: np.ndarray) -> np.ndarray:
    return 100 * (np.arange(len(losses)) + 0.5) / len(losses)


def _number(value: float) -> str:
    return '∞' if np.isinf(value) else f'{value:g}'
