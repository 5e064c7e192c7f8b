"""Carries out one trial, from the config to its record."""

import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import mmengine
import mmseg
import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS

from ..command_line import ToolError
from ..datasets.statistics import class_statistics, default_path, find_label_maps
from ..engine.run_config import load_config
from ..evaluation import RunLogError, read_run
from ..machine import describe_machine
from ..shipped import config_path
from .commands import command, head_options, shown_command, stage_options
from .hold_out import hold_out_options
from .plan import Plan, Trial
from .process import run_process
from .record import Record


@dataclass(frozen=True)
class Workshop:
    """Where and on what the trials of a plan are carried out.

    Attributes:
        plan: The plan.
        tools: Folder of ``train.py`` and ``test.py``.
        work_dir: Folder of logs and checkpoints.
        device: ``'cuda'`` or ``'cpu'``.
        threads: CPU threads of a training.
        gpus: Number of GPUs of a training.
    """

    plan: Plan
    tools: Path
    work_dir: Path
    device: torch.device
    threads: int
    gpus: int = 1

    def config(self, trial: Trial) -> tuple[Config, dict[str, object]]:
        """The config of a trial, and the options that make it of the shipped one.

        Class statistics are counted on the first call for a data set, which is then no matter of
        the trainings, of which several may run at once.
        """
        path = config_path(trial.config)
        options = head_options(trial.options, load_config(path))
        cfg = load_config(path, options)
        if trial.stage == 'tune':
            options |= hold_out_options(cfg, self.work_dir / 'tune', **self.plan.hold_out)
            cfg = load_config(path, options)
        options |= stage_options(trial, cfg)
        options['randomness.seed'] = trial.seed
        options['val_evaluator.statistics'] = options['test_evaluator.statistics'] = _statistics(
            cfg
        )
        return load_config(path, options), options

    @property
    def machine(self) -> dict[str, str]:
        """Device and versions, for records."""
        torch.set_num_threads(self.threads)  # as in the trainings, for the description
        versions = {name.__name__: name.__version__ for name in (mmengine, mmseg)}
        found = describe_machine(self.device) | versions
        return found | ({'GPUs': str(self.gpus)} if self.gpus > 1 else {})

    @property
    def env(self) -> dict[str, str]:
        """The environment of the trainings."""
        # threads that wait by spinning slow a training down where a core is busy otherwise
        own = {'OMP_NUM_THREADS': str(self.threads), 'OMP_WAIT_POLICY': 'PASSIVE'}
        return {**os.environ, **own}


def run_trial(workshop: Workshop, trial: Trial, watch: Callable[[int, int], bool]) -> Record:
    """Trains, scores and measures, going on where an interrupted trial was.

    Args:
        workshop: Where.
        trial: What.
        watch: Told twice a second how many iterations are done of how many; the trial is
            interrupted when it returns False.

    Raises:
        ToolError: A command failed, or left no scores.
    """
    cfg, options = workshop.config(trial)
    folder = workshop.work_dir / trial.stage / trial.name
    length, log = cfg.train_cfg.max_iters, folder / 'output.txt'

    def trained() -> bool:
        return watch(_iteration(folder), length)

    memory = None
    if trial.stage == 'cost' or not _is_trained(folder, length):
        arguments = [config_path(trial.config), '--work-dir', folder]
        arguments += ['--amp'] * workshop.plan.amp + ['--resume'] * (trial.stage != 'cost')
        train = command(workshop.tools / 'train.py', arguments, options, workshop.gpus)
        memory = run_process(train, log, workshop.env, trained)
    shown = shown_command(trial, cfg, workshop.plan.amp, workshop.gpus)
    record = dict(trial=trial, command=shown, machine=workshop.machine)
    if trial.stage == 'cost':
        return Record(**record, **_cost(folder, memory))
    augmented = {}
    if trial.stage == 'train':
        augmented = _augmented(workshop, trial, options, folder, lambda: watch(length, length))
    try:
        run = replace(read_run(folder), work_dir=trial.name)  # not where it was on this machine
        return Record(**record, run=run, augmented=augmented)
    except RunLogError as error:
        raise ToolError(f'{folder}: {error}', 1) from error


def _statistics(cfg: Config) -> str:
    """The file of the training set's class statistics, counted where it is missing."""
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    class_statistics(dataset)
    return str(Path(default_path(find_label_maps(dataset))).resolve())


def _augmented(
    workshop: Workshop, trial: Trial, options: dict, folder: Path, watch: Callable[[], bool]
) -> dict[str, float]:
    """Means with test-time augmentation, of the last checkpoint."""
    out = folder / 'augmented'
    checkpoint = (folder / 'last_checkpoint').read_text().strip()
    arguments = [config_path(trial.config), checkpoint, '--tta', '--work-dir', out]
    # of what changed the training, only the model matters
    options = {**options, 'test_evaluator.out_dir': str(out)}
    test = command(workshop.tools / 'test.py', arguments, options, workshop.gpus)
    run_process(test, folder / 'output.txt', workshop.env, watch)
    means = json.loads((out / 'class_scores.json').read_text())['means']
    return {key: float('nan') if value is None else value for key, value in means.items()}


def _cost(folder: Path, resident: float) -> dict[str, float | None]:
    """Median time of an iteration in seconds and peak memory in MiB."""
    records = [record for record in _scalars(folder) if 'loss' in record]
    records = records[1:]  # in the first iterations memory is fetched, and code is compiled
    seconds = float(np.median([record['time'] for record in records]))
    memory = max((record.get('memory', 0) for record in records), default=0)
    memory = memory or resident
    return dict(seconds=round(seconds, 4), memory=None if math.isnan(memory) else round(memory))


def _is_trained(folder: Path, length: int) -> bool:
    """Whether the last checkpoint is there and was scored."""
    done = any(record.get('step') == length and 'mIoU' in record for record in _scalars(folder))
    last = folder / 'last_checkpoint'
    return done and last.is_file() and Path(last.read_text().strip()).is_file()


def _iteration(folder: Path) -> int:
    """How far a training is, as far as it has logged."""
    return max((record['step'] for record in _scalars(folder) if 'loss' in record), default=0)


def _scalars(folder: Path) -> list[dict]:
    """What the latest session of a training has logged so far."""
    files = sorted(folder.glob('*/vis_data/scalars.json'))
    records = []
    for line in files[-1].read_text().splitlines() if files else []:
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:  # half a line, being written
            break
    return records
