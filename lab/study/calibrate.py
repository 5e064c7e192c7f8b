"""Calibrates a network on the images that its training held out, and scores it on the others."""

import json
from collections.abc import Callable
from pathlib import Path

from mmengine.config import Config

from mmseg_imbalance.utils.errors import ToolError
from mmseg_imbalance.utils.files import write_atomically
from mmseg_imbalance.utils.run_config import load_config
from mmseg_imbalance.utils.shipped import config_path

from .commands import head_options
from .plan import Trial
from .run import none_to_nan

OBJECTIVES = {
    'mIoU': ['--maximize', 'mIoU'],
    'mAcc': ['--maximize', 'mAcc', '--min-precision', '0.6'],
}
"""What offsets are found for, with the options of ``calibrate_classes.py``."""


def calibrated_means(
    trial: Trial, folder: Path, statistics: str, run: Callable[..., float]
) -> dict[str, dict[str, float]]:
    """Scores a network without offsets and with those of each objective.

    Args:
        trial: The trial, whose training is finished.
        folder: Its folder, with the lists of images that it was trained on and that it held out.
        statistics: File of the statistics of the images that it was trained on.
        run: Runs a tool with arguments.

    Returns:
        Means over the classes of the data set's own validation images in percent, by objective;
        ``'none'`` is without offsets. An objective that no offsets reach is missing.
    """
    out = folder / 'calibrated'
    config = out / Path(trial.config).name
    write_atomically(config, _config(trial, folder, statistics).pretty_text.encode())
    checkpoint = (folder / 'last_checkpoint').read_text().strip()
    means = {}
    for name in ('none', *OBJECTIVES):
        model = []
        if name != 'none':
            found = out / f'{name}.json'
            options = ['--ann-file', folder / 'val.txt', '--out', found, *OBJECTIVES[name]]
            try:
                run('analysis_tools/calibrate_classes.py', config, checkpoint, *options)
            except ToolError as error:
                if 'no offsets reach' in str(error):
                    continue
                raise
            model = ['model.type=CalibratedEncoderDecoder', f'model.offsets={found}']
        scores = [f'test_evaluator.out_dir={out / name}']
        run(
            'test.py',
            config,
            checkpoint,
            '--work-dir',
            out / name,
            '--cfg-options',
            *scores,
            *model,
        )
        content = json.loads((out / name / 'class_scores.json').read_text())
        means[name] = none_to_nan(content['means'])
    return means


def _config(trial: Trial, folder: Path, statistics: str) -> Config:
    """Returns the config of the training, which is tested on the validation images."""
    path = config_path(trial.config)
    cfg = load_config(path, head_options(trial.options, load_config(path)))
    cfg.train_dataloader.dataset.ann_file = str((folder / 'train.txt').resolve())
    cfg.val_evaluator.statistics = statistics
    cfg.test_dataloader, cfg.test_evaluator = cfg.val_dataloader, cfg.val_evaluator
    return cfg
