"""Trains all methods of a plan under one protocol, over several seeds, and keeps their scores."""

import argparse
import os
import sys
import threading
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from mmengine.device import get_device
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from mmseg_imbalance import config_path
from mmseg_imbalance.command_line import ToolError, one_line, run_tool, whole_number
from mmseg_imbalance.engine import load_config
from mmseg_imbalance.study import (
    Plan,
    Record,
    Results,
    Trial,
    choose,
    find_record,
    read_records,
    write_report,
)
from mmseg_imbalance.study.commands import shown_command
from mmseg_imbalance.study.plan import STAGES
from mmseg_imbalance.study.run_trial import Workshop, run_trial

TOOLS = Path(__file__).resolve().parent
EXAMPLES = """examples:
  python tools/benchmark.py benchmark/camvid.py                      # everything, resumable
  python tools/benchmark.py benchmark/camvid.py --stages tune train --methods ce lmp --seeds 0
  python tools/benchmark.py benchmark/cityscapes.py --stages train --methods ce wce-median
  python tools/benchmark.py benchmark/camvid.py --dry-run            # lists the trainings

Stages: "tune" trains every value of the methods' grids on a part of the training set and scores
the rest of it; "train" trains with the values that were best there and scores the last checkpoint,
plain and with test-time augmentation; "cost" measures time and memory, one training at a time.
Interrupted or run again, it goes on where it was. In the work dir are then the results, a small
JSON file per training, and the report of them: report.md and figures, which
tools/analysis_tools/benchmark_report.py makes anew. Exit code: 0 all is done, 1 some trainings
failed (the text says which and why), 2 wrong usage.
"""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('plan', help='Python file with methods, setting and seeds')
    parser.add_argument(
        '--stages', nargs='+', choices=STAGES, default=STAGES, help='default: all of them'
    )
    parser.add_argument('--methods', nargs='+', metavar='KEY', help='default: all of the plan')
    parser.add_argument(
        '--seeds', nargs='+', type=whole_number(minimum=0), help='default: those of the plan'
    )
    parser.add_argument(
        '--work-dir',
        type=Path,
        help='logs, checkpoints and the report (default: work_dirs/benchmark/<name of the plan>)',
    )
    parser.add_argument(
        '--results',
        type=Path,
        help='the results; what has one is done (default: WORK_DIR/results)',
    )
    parser.add_argument(
        '--jobs',
        type=whole_number(minimum=1),
        help='trainings at once, but for the cost (default: 1 on GPUs, else one per CPU core)',
    )
    parser.add_argument(
        '--gpus',
        type=whole_number(minimum=1),
        help='processes of a training, one per GPU, each with the batch of the config (default: as '
        "in the name of the plan's setting)",
    )
    parser.add_argument('--dry-run', action='store_true', help='list the trainings, start none')
    args = parser.parse_args()
    args.work_dir = args.work_dir or Path('work_dirs/benchmark', Path(args.plan).stem)
    args.results = args.results or args.work_dir / 'results'
    return args


class Bench:
    """Carries out trials, several at once, and shows how far they are."""

    def __init__(self, args: argparse.Namespace, plan: Plan) -> None:
        self.args, self.plan = args, plan
        self.device = torch.device(get_device())
        on_cpu = self.device.type == 'cpu'
        self.jobs = args.jobs or ((os.cpu_count() or 1) if on_cpu else 1)
        self.failed: list[str] = []
        self.stopped = threading.Event()

    def stage(self, stage: str) -> None:
        """Carries out what is left of a stage."""
        base, keys = self.plan.baseline, self.args.methods or list(self.plan.methods)
        if stage == 'tune':  # what is chosen for the baseline holds in the tuning of the others
            self.trials(stage, self.wanted(stage, [base]))
            keys = [key for key in keys if key != base]
        self.trials(stage, self.wanted(stage, keys))

    def wanted(self, stage: str, methods: Collection[str]) -> list[Trial]:
        """The trials of a stage and of methods that were asked for and can be carried out."""
        chosen = choose(self.plan, read_records(self.args.results, 'tune'))
        needed = {key: self.open_choices(stage, key, chosen) for key in methods}
        lacking = sorted(set().union(*needed.values()))
        if lacking and not self.args.dry_run:
            text = f'nothing is chosen yet for {", ".join(lacking)}'
            if 'tune' not in self.args.stages:
                raise ToolError(f'{text}: run --stages tune first')
            self.failed.append(f'{stage} of what needs it: {text}')
            methods = [key for key in methods if not needed[key]]
        seeds = self.args.seeds if stage == 'train' and self.args.seeds else self.plan.seeds
        trials = self.plan.trials(stage, chosen)
        return [trial for trial in trials if trial.method in methods and trial.seed in seeds]

    def open_choices(self, stage: str, method: str, chosen: dict) -> set[str]:
        """The methods that have to be tuned before a trial."""
        base = self.plan.baseline
        needed = {base} - {method} if stage == 'tune' else {base, method}
        return {key for key in needed if self.plan.methods[key].grid and key not in chosen}

    def trials(self, stage: str, trials: list[Trial]) -> None:
        """Carries out those that have no record yet."""
        left = [trial for trial in trials if find_record(self.args.results, trial) is None]
        if self.args.dry_run:
            for trial in left:
                cfg = load_config(config_path(trial.config))
                print(f'{stage} {trial.name}: {shown_command(trial, cfg)}')
            return
        jobs = 1 if stage == 'cost' else self.jobs
        threads = max((os.cpu_count() or 1) // (jobs * self.plan.gpus), 1)
        workshop = Workshop(TOOLS, self.args.work_dir, self.device, threads)
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
                    pool.submit(self.trial, workshop, trial, progress, overall) for trial in left
                ]
                try:
                    for future in running:
                        future.result()
                except BaseException:
                    self.stopped.set()
                    pool.shutdown(cancel_futures=True)
                    raise

    def trial(self, workshop: Workshop, trial: Trial, progress: Progress, overall) -> None:
        """Carries out one; a failure is noted, and the others go on."""
        if self.stopped.is_set():
            return
        task = progress.add_task(trial.name, total=None)

        def watch(done: int, total: int) -> bool:
            progress.update(task, completed=done, total=total)
            return not self.stopped.is_set()

        try:
            record = run_trial(workshop, trial, watch)
            record.write(self.args.results)
        except (ToolError, OSError) as error:
            if not self.stopped.is_set():
                self.failed.append(f'{trial.stage} {trial.name}: {error}')
                progress.console.print(one_line(self.failed[-1]), style='red', markup=False)
        else:
            progress.console.print(summary(record), markup=False, highlight=False)
            progress.advance(overall)
        progress.remove_task(task)


def summary(record: Record) -> str:
    """What came out, in a line."""
    name = f'{record.trial.stage} {record.trial.name}'
    if record.run is None:
        memory = f', {record.memory:.0f} MiB' if record.memory else ''
        return f'{name}: {record.seconds:.3f} s/iteration{memory}'
    means = record.run.means
    return f'{name}: mIoU {means["mIoU"]:.2f}, mAcc {means["mAcc"]:.2f}'


def carry_out(bench: Bench) -> None:
    """All stages, and the report of what there is."""
    args = bench.args
    for stage in args.stages:
        bench.stage(stage)
    if any(r.trial.method == bench.plan.baseline for r in read_records(args.results, 'train')):
        try:
            written = write_report(Results.read(bench.plan, args.results), args.work_dir)
        except ToolError as error:
            bench.failed.append(f'report: {error}')
        else:
            print(f'written: {", ".join(map(str, written))}')


def main() -> int:
    args = parse_args()
    plan = Plan.fromfile(args.plan)
    if args.gpus:
        plan = replace(plan, gpus=args.gpus)
    unknown = [key for key in args.methods or [] if key not in plan.methods]
    if unknown:
        raise ToolError(f'{args.plan} has no method {unknown[0]!r}: {", ".join(plan.methods)}')
    bench = Bench(args, plan)
    if args.dry_run:
        for stage in args.stages:
            bench.stage(stage)
        return 0
    lock = args.work_dir / '.lock'
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock, timeout=0):
            carry_out(bench)
    except Timeout as error:
        raise ToolError(f'another benchmark is at work in {args.work_dir}') from error
    for failure in bench.failed:
        print(f'failed: {one_line(failure)}', file=sys.stderr)
    if not bench.failed:
        print(f'all is done; results: {args.results}')
    return 1 if bench.failed else 0


if __name__ == '__main__':
    raise SystemExit(run_tool(main))
