"""Calibrates a network on the images that its training held out, and scores it on the others."""

import json
from collections.abc import Callable
from pathlib import Path

from mmengine.config import Config

from mmseg_imbalance.utils.errors import ToolError
from mmseg_imbalance.utils.files import write_atomically
from mmseg_imbalance.utils.run_config import load_config

from .commands import trial_config
from .plan import Trial
from .run import none_to_nan

OBJECTIVES = {
    'mIoU': ['--maximize', 'mIoU'],
    'mAcc': ['--maximize', 'mAcc', '--min-precision', '0.6'],
}
"""What offsets are found for, with the options of ``calibrate_classes.py``."""


def calibrated_scores(
    trial: Trial, folder: Path, run: Callable[..., float]
) -> tuple[dict[str, dict[str, float]], list[dict[str, float]]]:
    """Scores a network without offsets, with those of each objective, and over tau.

    Args:
        trial: The trial, whose training is finished.
        folder: Its folder, with the config of the training and the list of held-out images.
        run: Runs a tool with arguments.

    Returns:
        Means over the classes of the data set's own validation images in percent, by objective
        (``'none'`` is without offsets; one that no offsets reach is missing), and means of the
        held-out images for every tau.
    """
    out = folder / 'calibrated'
    config = out / Path(trial.config).name
    write_atomically(config, _config(trial, folder).pretty_text.encode())
    checkpoint = (folder / 'last_checkpoint').read_text().strip()
    means, tradeoff = {}, []
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
            tradeoff = json.loads(found.read_text())['tradeoff']  # the same for all objectives
            model = ['model.type=CalibratedEncoderDecoder', f'model.offsets={found}']
        options = ['--cfg-options', f'test_evaluator.out_dir={out / name}', *model]
        run('test.py', config, checkpoint, '--work-dir', out / name, *options)
        content = json.loads((out / name / 'class_scores.json').read_text())
        means[name] = none_to_nan(content['means'])
    return means, tradeoff


def _config(trial: Trial, folder: Path) -> Config:
    """Returns the config of the training, but validated on the data set's own images."""
    cfg = load_config(folder / 'config' / Path(trial.config).name)
    cfg.val_dataloader = cfg.test_dataloader = trial_config(trial).val_dataloader
    return cfg
