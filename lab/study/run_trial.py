"""Carries out one trial, from the config to its record."""

import json
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import mmengine
import mmseg
import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS

from mmseg_imbalance.datasets.label_maps import find_label_maps
from mmseg_imbalance.datasets.store import default_path, load_or_count
from mmseg_imbalance.utils.errors import ToolError
from mmseg_imbalance.utils.files import write_atomically
from mmseg_imbalance.utils.machine import describe_machine
from mmseg_imbalance.utils.run_config import check_data

from ..claim import claim
from .calibrate import calibrated_scores
from .commands import command, shown_command, stage_options, trial_config
from .hold_out import hold_out_options
from .live_log import latest_loss, newest_records
from .plan import Trial
from .process import run_process
from .record import Record, check_trial
from .run import RunError, none_to_nan, read_run

_WARM_UP = 10  # iterations that allocate memory and may compile code


@dataclass(frozen=True)
class Workshop:
    """The folders, the device and the CPU threads that trials use.

    Attributes:
        tools: Folder of ``train.py`` and ``test.py``.
        work_dir: Folder of logs and checkpoints.
        device: ``'cuda'`` or ``'cpu'``.
        threads: CPU threads of a process.
    """

    tools: Path
    work_dir: Path
    device: torch.device
    threads: int

    def folder(self, trial: Trial) -> Path:
        """Returns the work dir of a trial."""
        return self.work_dir.resolve() / trial.training.stage / trial.name

    def checkpoint(self, trial: Trial) -> str:
        """Returns the last checkpoint of a trial.

        Raises:
            ToolError: If the trial was not trained in this work dir.
        """
        pointer = self.folder(trial) / 'last_checkpoint'
        if not pointer.is_file():
            raise ToolError(f'{pointer} is missing: {trial.name} was not trained there')
        return pointer.read_text().strip()

    def config(self, trial: Trial) -> Config:
        """Returns the config of a trial, which is tested on its validation data.

        The first call for a data set counts its class statistics, so the trainings, several of
        which may run at once, do not have to.
        """
        cfg, folder = trial_config(trial), self.folder(trial)
        check_data(cfg, 'train', 'val')
        if trial.hold_out:
            cfg.merge_from_dict(hold_out_options(cfg, folder, trial.hold_out))
        cfg.merge_from_dict(stage_options(trial, cfg) | {'randomness.seed': trial.seed})
        cfg.val_evaluator.statistics = _statistics(cfg)
        cfg.test_dataloader = cfg.val_dataloader
        cfg.test_evaluator = dict(cfg.val_evaluator, out_dir=str(folder / 'augmented'))
        return cfg

    def machine(self, trial: Trial) -> dict[str, str]:
        """Describes device and versions, for records."""
        torch.set_num_threads(self.threads)  # so that the description matches the trainings
        versions = {name.__name__: name.__version__ for name in (mmengine, mmseg)}
        gpus = {'GPUs': str(trial.gpus)} if trial.gpus > 1 else {}
        return describe_machine(self.device) | gpus | versions

    def run(self, trial: Trial, tool: str, *arguments, watch: Callable[[], bool]) -> float:
        """Runs a tool for a trial and returns its peak memory."""
        words = command(self.tools / tool, *arguments, gpus=trial.gpus)
        # threads that busy-wait would slow a training down where other work needs a core
        own = {
            'OMP_NUM_THREADS': str(self.threads),
            'OMP_WAIT_POLICY': 'PASSIVE',
            'PYTHONUNBUFFERED': '1',  # an error is the last line of the log
        }
        log = self.folder(trial) / 'output.txt'
        return run_process(words, log, {**os.environ, **own}, watch)


def run_trial(workshop: Workshop, trial: Trial, watch: Callable[[int, int], bool]) -> Record:
    """Trains, scores and measures a trial, resuming it if it was interrupted.

    Args:
        workshop: Folders and device.
        trial: The trial.
        watch: Called several times a second with the number of iterations done and in total; the
            trial is interrupted when it returns False.

    Raises:
        ToolError: If a command failed or left no scores, or the folder belongs to another trial.
    """
    if trial.stage == 'calibrate':
        return _calibrated(workshop, trial, watch)
    cfg, folder = workshop.config(trial), workshop.folder(trial)
    _claim(folder, trial)
    length, cost = cfg.train_cfg.max_iters, trial.stage == 'cost'
    config = folder / 'config' / Path(trial.config).name
    write_atomically(config, cfg.pretty_text.encode())
    if cost or not _is_finished(folder):
        resume, amp = ['--resume'] * (not cost), ['--amp'] * trial.amp
        memory = workshop.run(
            trial, 'train.py', config, '--work-dir', folder, *resume, *amp,
            watch=lambda: watch((latest_loss(folder) or {'step': 0})['step'], length),
        )  # fmt: skip
    shown = '' if trial.stage == 'tune' else shown_command(trial, cfg)
    record = dict(trial=trial, command=shown, machine=workshop.machine(trial))
    if cost:
        return Record(**record, **_cost(folder, memory))
    augmented = {}
    if trial.stage == 'train' and trial.augmented:
        augmented = _augmented(workshop, trial, config, lambda: watch(length, length))
    try:
        run = read_run(folder)
    except RunError as error:
        raise ToolError(f'{folder}: {error}', 1) from error
    if trial.hold_out:
        run.data['ann_file'] = 'val.txt'  # without its path on this machine
    return Record(**record, run=replace(run, work_dir=trial.name), augmented=augmented)


def _claim(folder: Path, trial: Trial) -> None:
    """Writes the trial to its folder, or checks that the folder belongs to this trial."""
    noted = folder / 'trial.json'
    if not noted.is_file() and any(folder.glob('*/vis_data')):
        raise ToolError(f'{folder} holds a training of something else; delete it')
    try:
        found = Trial(**claim(noted, asdict(trial)))
    except TypeError as error:  # of a trial as another version writes it, or of something else
        raise ToolError(f'{noted} is not of a trial ({error}); delete {folder}') from None
    check_trial(found, trial, folder)


def _statistics(cfg: Config) -> str:
    """Returns the file of the training set's class statistics, which is made if missing."""
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    labels = find_label_maps(DATASETS.build(cfg.train_dataloader.dataset))
    path = Path(default_path(labels)).resolve()
    load_or_count(labels, path)
    return str(path)


def _calibrated(workshop: Workshop, trial: Trial, watch: Callable[[int, int], bool]) -> Record:
    """Calibrates the network of a tuning trial, which is trained if it is not there."""
    run_trial(workshop, trial.training, watch)
    run = partial(workshop.run, replace(trial, gpus=1), watch=lambda: watch(1, 1))
    means, tradeoff = calibrated_scores(trial, workshop.folder(trial), run)
    machine = workshop.machine(trial)
    return Record(trial, '', machine, calibrated=means, tradeoff=tradeoff)


def _augmented(
    workshop: Workshop, trial: Trial, config: Path, watch: Callable[[], bool]
) -> dict[str, float]:
    """Scores the last checkpoint with test-time augmentation and returns the means."""
    out = workshop.folder(trial) / 'augmented'
    checkpoint = workshop.checkpoint(trial)
    workshop.run(trial, 'test.py', config, checkpoint, '--tta', '--work-dir', out, watch=watch)
    return none_to_nan(json.loads((out / 'class_scores.json').read_text())['means'])


def _cost(folder: Path, resident: float) -> dict[str, float | None]:
    """Reads the median time of an iteration in seconds and the peak memory in MiB."""
    records = [r for r in newest_records(folder) if 'loss' in r][:-_WARM_UP]  # the oldest are last
    seconds = float(np.median([record['time'] for record in records]))
    memory = max(record.get('memory', 0) for record in records) or resident
    return dict(seconds=round(seconds, 4), memory=None if math.isnan(memory) else round(memory))


def _is_finished(folder: Path) -> bool:
    try:
        read_run(folder)
    except RunError:
        return False
    return True
