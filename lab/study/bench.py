"""Carries out the trials of a plan, several at once, and shows their progress."""

import threading
import warnings
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from mmengine.device import get_device
from mmseg.registry import DATASETS
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from mmseg_imbalance.utils.command_line import one_line
from mmseg_imbalance.utils.cores import usable_cores
from mmseg_imbalance.utils.errors import ToolError
from mmseg_imbalance.utils.files import write_figure
from mmseg_imbalance.utils.run_config import load_config
from mmseg_imbalance.utils.shipped import config_path

from .choice import choose
from .commands import shown_command
from .plan import DEFAULT_STAGES, Plan, Trial
from .record import Record, find_record, read_records
from .report import write_report
from .results import Results
from .run_trial import Workshop, run_trial


@dataclass
class Bench:
    """Carries out a plan.

    Attributes:
        plan: The plan.
        tools: Folder of ``train.py`` and ``test.py``.
        work_dir: Folder for logs, checkpoints and the report.
        results: Folder for the records; a trial that has a record is done.
        stages: The stages of :data:`STAGES` to carry out.
        methods: Keys of the requested methods; if empty, all of the plan.
        seeds: The requested seeds; if empty, all of the plan.
        jobs: Trials at once, except in the ``cost`` stage; None for 1 on GPUs, else 1 per CPU core.
        failed: A text for each failure so far.
    """

    plan: Plan
    tools: Path
    work_dir: Path
    results: Path
    stages: Sequence[str] = DEFAULT_STAGES
    methods: Sequence[str] = ()
    seeds: Sequence[int] = ()
    jobs: int | None = None
    failed: list[str] = field(default_factory=list, init=False)
    _stopped: threading.Event = field(default_factory=threading.Event, init=False)

    def preview(self) -> Iterator[str]:
        """Yields a line for each trial that would be carried out, with the training's command."""
        self._check_stages()
        chosen = self._chosen()
        for stage in self.stages:
            asked = set(self.methods or self.plan.methods)
            if stage == 'tune':
                asked.add(self.plan.baseline)
            yield from self._trained_as_others(stage, asked, chosen)
            for trial in self._left(self._trials(stage, asked, chosen)):
                command = ''
                if stage == 'train':  # the trials of other stages differ in more than options
                    command = f': {shown_command(trial, load_config(config_path(trial.config)))}'
                untuned = ', '.join(sorted(self._open_choices(stage, trial.method, chosen)))
                note = f' (not tuned yet, with the first values: {untuned})' if untuned else ''
                yield f'{stage} {trial.name}{note}{command}'

    def carry_out(self) -> list[Path]:
        """Carries out the remaining trials and writes a report of all results so far.

        Returns:
            The files of the report; none if there is nothing to report yet.

        Raises:
            ToolError: If the request is wrong, or another study is using the same folder. A trial
                that fails does not raise: it is noted and the others continue.
        """
        self._check_stages()
        lock = self.work_dir / '.lock'
        lock.parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(lock, timeout=0):
                for stage in self.stages:
                    self._stage(stage)
                return self._report()
        except Timeout as error:
            raise ToolError(f'another study is at work in {self.work_dir}') from error

    def draw_predictions(self) -> Path:
        """Draws what the trained networks predict on the validation images with the rarest classes.

        The networks are those of the requested methods that have results, with the first of the
        requested seeds. Bars below show the recall of every class, the mean over all seeds.

        Returns:
            The figure, ``predictions.png`` in the work dir.

        Raises:
            ToolError: If there are no results, or a network was not trained in this work dir.
        """
        # these import all models of MMSegmentation, which takes seconds
        from mmseg_imbalance.utils.inference import build_inferencer

        from .predictions_figure import predictions_figure

        results, workshop = Results.read(self.plan, self.results), self.workshop(jobs=1)
        asked = [key for key in results.trained if key in (self.methods or results.trained)]
        trials = self._trials('train', asked, results.chosen)
        if not trials:
            raise ToolError(f'no training of {", ".join(self.methods)} has results')
        models = {}
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', UserWarning)  # of losses and logs that are not used
            for trial in [trial for trial in trials if trial.seed == trials[0].seed]:
                cfg, checkpoint = workshop.config(trial), workshop.checkpoint(trial)
                name = self.plan.methods[trial.method].name
                models[name] = build_inferencer(cfg, checkpoint, get_device())
            images = dict(cfg.val_dataloader.dataset, pipeline=cfg.test_pipeline[:-1])
            figure = predictions_figure(DATASETS.build(images), models, results.comparison)
        path = self.work_dir / 'predictions.png'
        write_figure(path, figure)
        return path

    def workshop(self, jobs: int) -> Workshop:
        """Returns the workshop for ``jobs`` trials at once, which share the CPU's cores."""
        threads = max(usable_cores() // (jobs * self.plan.gpus), 1)
        return Workshop(self.tools, self.work_dir, torch.device(get_device()), threads)

    def _check_stages(self) -> None:
        if 'calibrate' in self.stages and not self.plan.hold_out:
            raise ToolError(f'the plan {self.plan.key} has no hold_out to calibrate on')

    def _stage(self, stage: str) -> None:
        base, keys = self.plan.baseline, list(self.methods or self.plan.methods)
        if stage == 'tune':  # tuning the others needs the baseline's chosen values
            self._run(stage, self._possible(stage, [base]))
            keys = [key for key in keys if key != base]
        self._run(stage, self._possible(stage, keys))

    def _report(self) -> list[Path]:
        base = self.plan.baseline
        if not any(r.trial.method == base for r in read_records(self.results, 'train')):
            return []
        try:
            return write_report(Results.read(self.plan, self.results), self.work_dir)
        except ToolError as error:
            self.failed.append(f'report: {error}')
            return []

    def _possible(self, stage: str, methods: Collection[str]) -> list[Trial]:
        """Returns the trials of the methods for which all values they need are chosen."""
        chosen = self._chosen()
        needed = {key: self._open_choices(stage, key, chosen) for key in methods}
        lacking = sorted(set().union(*needed.values()))
        if lacking:
            text = f'nothing is chosen yet for {", ".join(lacking)}'
            if 'tune' not in self.stages:
                raise ToolError(f'{text}: run --stages tune first')
            self.failed.append(f'{stage} of the methods that depend on it: {text}')
        possible = [key for key in methods if not needed[key]]
        self.failed += self._trained_as_others(stage, possible, chosen)
        return self._trials(stage, possible, chosen)

    def _trained_as_others(self, stage: str, methods: Collection[str], chosen: dict) -> list[str]:
        """Describes the requested methods that are trained under the name of another method."""
        if stage == 'tune':
            return []
        first = {k: self.plan.first_alike(k, chosen) for k in self.methods if k in methods}
        return [
            f'{stage} {key}: with the chosen values it is the same as {other}; ask for {other}'
            for key, other in first.items()
            if other not in self.methods
        ]

    def _open_choices(self, stage: str, method: str, chosen: dict) -> set[str]:
        """Returns the methods that still have to be tuned before a trial."""
        base = self.plan.baseline
        needed = {base} - {method} if stage == 'tune' else {base, method}
        return {key for key in needed if self.plan.methods[key].grid and key not in chosen}

    def _chosen(self) -> dict[str, dict[str, object]]:
        return choose(self.plan, read_records(self.results, 'tune'))

    def _trials(self, stage: str, methods: Collection[str], chosen: dict) -> list[Trial]:
        seeds = self.seeds if stage == 'train' and self.seeds else self.plan.seeds
        trials = self.plan.trials(stage, chosen)
        return [trial for trial in trials if trial.method in methods and trial.seed in seeds]

    def _left(self, trials: list[Trial]) -> list[Trial]:
        """Returns the trials that have no record yet."""
        return [trial for trial in trials if find_record(self.results, trial) is None]

    def _run(self, stage: str, trials: list[Trial]) -> None:
        at_once = 1 if get_device() != 'cpu' else usable_cores()
        jobs = 1 if stage == 'cost' else self.jobs or at_once
        workshop, left = self.workshop(jobs), self._left(trials)
        for trial in left:  # counts classes, and finds errors before hours of training
            workshop.config(trial)
        columns = (
            TextColumn('{task.description:28}'),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=Console(stderr=True)) as progress:
            overall = progress.add_task(f'{stage}, all', total=len(trials))
            progress.update(overall, completed=len(trials) - len(left))
            with ThreadPoolExecutor(jobs) as pool:
                running = [
                    pool.submit(self._run_one, workshop, trial, progress, overall) for trial in left
                ]
                try:
                    for future in running:
                        future.result()
                except BaseException:
                    self._stopped.set()
                    pool.shutdown(cancel_futures=True)
                    raise

    def _run_one(self, workshop: Workshop, trial: Trial, progress: Progress, overall: int) -> None:
        if self._stopped.is_set():
            return
        task = progress.add_task(trial.name, total=None)

        def watch(done: int, total: int) -> bool:
            progress.update(task, completed=done, total=total)
            return not self._stopped.is_set()

        try:
            record = run_trial(workshop, trial, watch)
            record.write(self.results)
        except (ToolError, OSError) as error:
            if not self._stopped.is_set():
                self.failed.append(f'{trial.stage} {trial.name}: {error}')
                progress.console.print(one_line(self.failed[-1]), style='red', markup=False)
        else:
            progress.console.print(_summary(record), markup=False, highlight=False)
            progress.advance(overall)
        progress.remove_task(task)


def _summary(record: Record) -> str:
    """Summarises a record in one line."""
    name = f'{record.trial.stage} {record.trial.name}'
    if record.trial.stage == 'cost':
        memory = f', {record.memory:.0f} MiB' if record.memory else ''
        return f'{name}: {record.seconds:.3f} s/iteration{memory}'
    means = record.calibrated.get('mIoU') or record.run.means
    return f'{name}: mIoU {means["mIoU"]:.2f}, mAcc {means["mAcc"]:.2f}'
