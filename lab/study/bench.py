"""Carries out the trials of a plan, several at once, and shows how far they are."""

import os
import threading
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from mmengine.device import get_device
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from mmseg_imbalance.utils.command_line import one_line
from mmseg_imbalance.utils.errors import ToolError
from mmseg_imbalance.utils.run_config import load_config
from mmseg_imbalance.utils.shipped import config_path

from .choice import choose
from .commands import shown_command
from .plan import STAGES, Plan, Trial
from .record import Record, find_record, read_records
from .report import write_report
from .results import Results
from .run_trial import Workshop, run_trial


@dataclass
class Bench:
    """A plan at work.

    Attributes:
        plan: The plan.
        tools: Folder of ``train.py`` and ``test.py``.
        work_dir: Where logs, checkpoints and the report go.
        results: Where the records go; a trial that has one is done.
        stages: What of :data:`STAGES` to carry out.
        methods: Keys of the methods that are asked for, all of the plan if empty.
        seeds: The seeds that are asked for, all of the plan if empty.
        jobs: Trials at once, but for the cost; None for one on GPUs, else one per CPU core.
        failed: What went wrong so far, a text for each.
    """

    plan: Plan
    tools: Path
    work_dir: Path
    results: Path
    stages: Sequence[str] = STAGES
    methods: Sequence[str] = ()
    seeds: Sequence[int] = ()
    jobs: int | None = None
    failed: list[str] = field(default_factory=list, init=False)
    _stopped: threading.Event = field(default_factory=threading.Event, init=False)

    def preview(self) -> Iterator[str]:
        """Says in a line each what would be carried out, trainings with their commands."""
        chosen = self._chosen()
        for stage in self.stages:
            asked = set(self.methods or self.plan.methods)
            if stage == 'tune':
                asked.add(self.plan.baseline)
            yield from self._trained_as_others(stage, asked, chosen)
            for trial in self._left(self._trials(stage, asked, chosen)):
                command = ''
                if stage == 'train':  # others differ in more than their options
                    command = f': {shown_command(trial, load_config(config_path(trial.config)))}'
                yield f'{stage} {trial.name}{command}'

    def carry_out(self) -> list[Path]:
        """Carries out what is left, and writes the report of what there is.

        Returns:
            The files of the report, none as long as there is nothing to report.

        Raises:
            ToolError: Something is wrong with what was asked for, or another study is at work
                in the same folder. Trials that fail are noted instead, and the others go on.
        """
        lock = self.work_dir / '.lock'
        lock.parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(lock, timeout=0):
                for stage in self.stages:
                    self._stage(stage)
                return self._report()
        except Timeout as error:
            raise ToolError(f'another study is at work in {self.work_dir}') from error

    def workshop(self, jobs: int) -> Workshop:
        """Where ``jobs`` trials at once are carried out, which share the CPU's cores."""
        threads = max(_cores() // (jobs * self.plan.gpus), 1)
        return Workshop(self.tools, self.work_dir, torch.device(get_device()), threads)

    def _stage(self, stage: str) -> None:
        base, keys = self.plan.baseline, list(self.methods or self.plan.methods)
        if stage == 'tune':  # what is chosen for the baseline holds in the tuning of the others
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
        """The trials of some methods for which everything that they need is chosen."""
        chosen = self._chosen()
        needed = {key: self._open_choices(stage, key, chosen) for key in methods}
        lacking = sorted(set().union(*needed.values()))
        if lacking:
            text = f'nothing is chosen yet for {", ".join(lacking)}'
            if 'tune' not in self.stages:
                raise ToolError(f'{text}: run --stages tune first')
            self.failed.append(f'{stage} of what needs it: {text}')
        possible = [key for key in methods if not needed[key]]
        self.failed += self._trained_as_others(stage, possible, chosen)
        return self._trials(stage, possible, chosen)

    def _trained_as_others(self, stage: str, methods: Collection[str], chosen: dict) -> list[str]:
        """What to say of methods that were asked for and are trained under another's name."""
        if stage == 'tune':
            return []
        first = {k: self.plan.first_alike(k, chosen) for k in self.methods if k in methods}
        return [
            f'{stage} {key}: with what was chosen it is the same as {other}; ask for {other}'
            for key, other in first.items()
            if other not in self.methods
        ]

    def _open_choices(self, stage: str, method: str, chosen: dict) -> set[str]:
        """The methods that have to be tuned before a trial."""
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
        """Those that have no record yet."""
        return [trial for trial in trials if find_record(self.results, trial) is None]

    def _run(self, stage: str, trials: list[Trial]) -> None:
        jobs = 1 if stage == 'cost' else self.jobs or (1 if get_device() != 'cpu' else _cores())
        workshop, left = self.workshop(jobs), self._left(trials)
        for trial in left:  # counts classes, and finds what is wrong before hours have passed
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


def _cores() -> int:
    return os.cpu_count() or 1


def _summary(record: Record) -> str:
    """What came out, in a line."""
    name = f'{record.trial.stage} {record.trial.name}'
    if record.run is None:
        memory = f', {record.memory:.0f} MiB' if record.memory else ''
        return f'{name}: {record.seconds:.3f} s/iteration{memory}'
    means = record.run.means
    return f'{name}: mIoU {means["mIoU"]:.2f}, mAcc {means["mAcc"]:.2f}'
