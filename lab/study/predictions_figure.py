"""Several models beside one another: a table of scores and a figure of predictions and recall."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mmseg_imbalance.utils.colours import COLOURS, colourize


def comparison_table(
    classes: Sequence[str],
    share: np.ndarray,
    scores: Mapping[str, Mapping[str, np.ndarray]],
) -> str:
    """Writes IoU and recall of every class and their means (mIoU, mAcc) as a Markdown table.

    Args:
        classes: C names.
        share: (C,) share of the labelled pixels, in [0, 1]; rows are sorted by it, rarest last.
        scores: For every model ``'IoU'`` and ``'recall'``, (C,) in [0, 1], NaN where undefined.

    Returns:
        Markdown, values in percent; the best of a row is bold where they differ.
    """
    kinds = ('IoU', 'recall')
    header = ['class', 'pixels %', *(f'{kind}: {name}' for kind in kinds for name in scores)]
    rows = []
    for c in np.argsort(-share):
        cells = [_best_in_bold([scores[name][kind][c] for name in scores]) for kind in kinds]
        rows.append([classes[c], f'{100 * share[c]:.2f}', *cells[0], *cells[1]])
    means = [_best_in_bold([np.nanmean(scores[name][kind]) for name in scores]) for kind in kinds]
    rows.append(['**mean**', '', *means[0], *means[1]])
    rule = ['---', *['---:'] * (len(header) - 1)]
    return '\n'.join(f'| {" | ".join(row)} |' for row in (header, rule, *rows)) + '\n'


def _best_in_bold(values: Sequence[float]) -> list[str]:
    texts = ['–' if np.isnan(value) else f'{100 * value:.1f}' for value in values]
    if len(set(texts)) == 1:
        return texts
    best = f'{100 * np.nanmax(values):.1f}'
    return [f'**{text}**' if text == best else text for text in texts]


def comparison_figure(
    classes: Sequence[str],
    palette: np.ndarray,
    share: np.ndarray,
    recall: Mapping[str, np.ndarray],
    examples: Sequence[tuple[np.ndarray, np.ndarray, Mapping[str, np.ndarray]]],
) -> Figure:
    """Draws images with truth and predictions side by side, over bars of the recall per class.

    Args:
        classes: C names.
        palette: (C, 3) colours in 0 … 255.
        share: (C,) share of the labelled pixels, in [0, 1]; the bars are sorted by it.
        recall: For every model the recall per class, (C,) in [0, 1].
        examples: Image (H, W, 3) uint8 RGB, label (H, W), and every model's prediction (H, W).

    Returns:
        The figure, to be saved by the caller.
    """
    columns = ['image', 'truth', *recall]
    aspect = examples[0][0].shape[0] / examples[0][0].shape[1]
    width = 3.2 * len(columns)
    row_height = 3.2 * aspect + 0.08
    figure = Figure(figsize=(width, len(examples) * row_height + 4.6), layout='constrained')
    pictures, legend, bars = figure.subfigures(
        3, 1, height_ratios=(len(examples) * row_height + 0.3, 0.5, 3.8)
    )

    axes = pictures.subplots(len(examples), len(columns), squeeze=False)
    for row, (image, label, predictions) in zip(axes, examples, strict=True):
        colour_maps = [colourize(m, palette) for m in (label, *predictions.values())]
        for axis, picture in zip(row, (image, *colour_maps), strict=True):
            axis.imshow(picture, interpolation='nearest')
            axis.axis('off')
    for axis, title in zip(axes[0], columns, strict=True):
        axis.set_title(title)

    patches = [
        Patch(facecolor=np.divide(colour, 255), edgecolor='0.4', label=name)
        for name, colour in zip(classes, palette, strict=True)
    ]
    legend.legend(handles=patches, loc='center', ncols=min(len(classes), 11), frameon=False)
    _recall_bars(bars.subplots(), classes, share, recall)
    return figure


def _recall_bars(axis, classes, share, recall) -> None:
    order = np.argsort(-share)
    width = 0.8 / len(recall)
    for i, (name, values) in enumerate(recall.items()):
        offset = (i - (len(recall) - 1) / 2) * width
        label = f'{name} (mean {100 * np.nanmean(values):.1f})'
        axis.bar(
            np.arange(len(order)) + offset, 100 * values[order], width, label=label,
            color=COLOURS[i % len(COLOURS)],
        )  # fmt: skip
    axis.set_xticks(
        np.arange(len(order)), [f'{classes[c]}\n{100 * share[c]:.2g} % of pixels' for c in order]
    )
    axis.set(ylim=(0, 100), ylabel='recall in %')
    axis.grid(axis='y', alpha=0.3)
    axis.set_axisbelow(True)
    axis.spines[['top', 'right']].set_visible(False)
    axis.legend(loc='lower left', bbox_to_anchor=(0, 1), ncols=len(recall), frameon=False)
