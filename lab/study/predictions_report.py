"""Scores saved predictions of several models on one data set and reports them side by side."""

from collections.abc import Mapping
from pathlib import Path

import mmcv
import numpy as np
from mmengine.dataset import BaseDataset
from rich.progress import track

from mmseg_imbalance.evaluation.confusion import class_scores, confusion_counts, confusion_matrix
from mmseg_imbalance.evaluation.predictions import prediction_path
from mmseg_imbalance.utils.files import write_atomically, write_figure

from .predictions_figure import comparison_figure, comparison_table


def compare_predictions(
    dataset: BaseDataset,
    predictions: Mapping[str, str | Path],
    out_dir: str | Path,
    num_examples: int = 3,
    preamble: str = '',
) -> str:
    """Writes ``report.md`` and ``report.png`` on several models' predictions.

    The examples in the picture are those with the most pixels of the rarest classes: each counts
    as much as it is rare.

    Args:
        dataset: An MMSegmentation data set whose pipeline loads image and annotation.
        predictions: For every model's name the folder that ``tools/test.py --out`` wrote.
        out_dir: Folder for the report; each file is replaced at once, when complete.
        num_examples: How many images to show.
        preamble: Markdown between the title and the table.

    Returns:
        The Markdown table.

    Raises:
        FileNotFoundError: A prediction is missing; names it.
    """
    classes, palette = dataset.metainfo['classes'], np.asarray(dataset.metainfo['palette'])
    confusion = {name: np.zeros((len(classes),) * 2, np.int64) for name in predictions}
    pixels = []
    for index in track(range(len(dataset)), description='scoring'):
        _, label, predicted = _load(dataset, index, predictions)
        for name, pred in predicted.items():
            confusion[name] += confusion_matrix(pred, label, len(classes), dataset.ignore_index)
        pixels.append(np.bincount(label.ravel(), minlength=256)[: len(classes)])
    total = np.sum(pixels, axis=0)
    rarity = np.asarray(pixels) / np.maximum(total, 1)
    chosen = np.argsort(-rarity.sum(1))[:num_examples]

    scores = {name: class_scores(confusion_counts(matrix)) for name, matrix in confusion.items()}
    table = comparison_table(classes, total / total.sum(), scores)
    figure = comparison_figure(
        classes,
        palette,
        total / total.sum(),
        {name: score['recall'] for name, score in scores.items()},
        [_load(dataset, index, predictions) for index in chosen],
    )
    text = f'# {" · ".join(predictions)}\n\n{preamble}\n{table}\n![report](report.png)\n'
    out_dir = Path(out_dir)
    write_figure(out_dir / 'report.png', figure)
    write_atomically(out_dir / 'report.md', text.encode())
    return table


def _load(dataset: BaseDataset, index: int, predictions: Mapping[str, str | Path]):
    """Image (RGB), label and every model's prediction of one sample."""
    sample = dataset[index]
    image = np.ascontiguousarray(sample['img'][..., ::-1])
    predicted = {}
    for name, folder in predictions.items():
        path = prediction_path(folder, sample['img_path'], dataset.data_prefix['img_path'])
        if not path.is_file():
            raise FileNotFoundError(f'no prediction of {name} at {path}')
        predicted[name] = mmcv.imread(str(path), flag='unchanged')
    return image, sample['gt_seg_map'], predicted
