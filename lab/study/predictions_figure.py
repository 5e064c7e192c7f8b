"""A figure of several models' predictions on a few images and their recall of every class."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from mmengine.dataset import BaseDataset

from mmseg_imbalance.utils.axes import add_light_grid
from mmseg_imbalance.utils.colours import COLOURS, colourize
from mmseg_imbalance.utils.inference import StrictInferencer, predict

from .compared_runs import Comparison


def predictions_figure(
    dataset: BaseDataset,
    models: Mapping[str, StrictInferencer],
    comparison: Comparison,
    num_examples: int = 3,
) -> Figure:
    """Draws predictions on the images with the most pixels of rare classes, and the recalls.

    To choose the images, pixels are weighted by the rarity of their class.

    Args:
        dataset: A data set whose pipeline loads image and annotation.
        models: Models by the names of the methods.
        comparison: A comparison of at least these methods.
        num_examples: Number of images to show.

    Returns:
        The figure, to be saved by the caller.
    """
    classes, palette = dataset.metainfo['classes'], np.asarray(dataset.metainfo['palette'])
    examples = []
    for index in _with_rarest(dataset, len(classes), num_examples):
        sample = dataset[index]
        image, label = sample['img'], sample['gt_seg_map']
        predictions = {name: predict(model, [image])[0] for name, model in models.items()}
        examples.append((np.ascontiguousarray(image[..., ::-1]), label, predictions))
    shares = comparison.shares()
    share = np.array([shares[name] for name in classes]) / 100
    recall = {
        method.name: np.array([method.score('Acc', name).mean for name in classes]) / 100
        for method in comparison.methods
        if method.name in models
    }
    return comparison_figure(classes, palette, share, recall, examples)


def _with_rarest(dataset: BaseDataset, num_classes: int, count: int) -> np.ndarray:
    labels = (dataset[index]['gt_seg_map'].ravel() for index in range(len(dataset)))
    pixels = np.array([np.bincount(label, minlength=256)[:num_classes] for label in labels])
    rarity = pixels / np.maximum(pixels.sum(0), 1)
    return np.argsort(-rarity.sum(1))[:count]


def comparison_figure(
    classes: Sequence[str],
    palette: np.ndarray,
    share: np.ndarray,
    recall: Mapping[str, np.ndarray],
    examples: Sequence[tuple[np.ndarray, np.ndarray, Mapping[str, np.ndarray]]],
) -> Figure:
    """Draws images, ground truth and predictions side by side, above bars of the class recalls.

    Args:
        classes: C names.
        palette: Colours (C, 3) in 0 … 255.
        share: Share of the pixels (C,) in [0, 1]; the bars are sorted by it.
        recall: Recall per class (C,) in [0, 1] of every model.
        examples: Image (H, W, 3) uint8 RGB, label map (H, W), and each model's prediction (H, W).

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
    add_light_grid(axis, 'y')
    axis.legend(loc='lower left', bbox_to_anchor=(0, 1), ncols=len(recall), frameon=False)
