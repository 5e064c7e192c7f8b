"""Trains all methods of a plan under one protocol, over several seeds, and keeps their scores."""

import argparse
import os
import sys
import threading
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from mmengine.device import get_device
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from mmseg_imbalance.command_line import ToolError, one_line, run_tool, whole_number
from mmseg_imbalance.study import Plan, Record, Trial, choose, find_record, read_records
from mmseg_imbalance.study.plan import STAGES
from mmseg_imbalance.study.run_trial import Workshop, run_trial

TOOLS = Path(__file__).resolve().parent
EXAMPLES = """examples:
  python tools/benchmark.py benchmark/camvid.py                      # everything, resumable
  python tools/benchmark.py benchmark/camvid.py --stages train --methods ce lmp recall --seeds 0
  python tools/benchmark.py benchmark/cityscapes.py --gpus 4 --stages train
  python tools/benchmark.py benchmark/camvid.py --dry-run            # lists the trainings

Stages: "tune" trains every value of the methods' grids on a part of the training set and scores
the rest of it; "train" trains with the values that were best there and scores the last checkpoint,
plain and with test-time augmentation; "cost" measures time and memory, one training at a time.
Interrupted or run again, it goes on where it was. Tables of the results:
tools/analysis_tools/benchmark_report.py. Exit code: 0 all is done, 1 some trainings failed (the
text says which and why), 2 wrong usage.
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
        help='logs and checkpoints (default: work_dirs/benchmark/<name of the plan>)',
    )
    parser.add_argument(
        '--results',
        type=Path,
        help='a small JSON file per training; what has one is done (default: WORK_DIR/results)',
    )
    parser.add_argument(
        '--jobs',
        type=whole_number(minimum=1),
        help='trainings at once, but for the cost (default: 1 on GPUs, else one per CPU core)',
    )
    parser.add_argument(
        '--gpus',
        type=whole_number(minimum=1),
        default=1,
        help='processes of a training, one per GPU (default: %(default)s)',
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
            self.trials(stage, self.wanted(stage, {base}.intersection(keys)))
            keys = set(keys) - {base}
        self.trials(stage, self.wanted(stage, keys))

    def wanted(self, stage: str, methods: Collection[str]) -> list[Trial]:
        """The trials of a stage and of methods that were asked for and can be carried out."""
        chosen = choose(self.plan, read_records(self.args.results, 'tune'))
        open_ = {key for key, m in self.plan.methods.items() if m.grid and key not in chosen}
        needed = {
            key: {self.plan.baseline} if stage == 'tune' else {self.plan.baseline, key}
            for key in methods
        }
        if stage == 'tune' and self.plan.baseline in needed:
            needed[self.plan.baseline] = set()
        lacking = sorted({missing for each in needed.values() for missing in each & open_})
        if lacking and not self.args.dry_run:
            text = f'nothing is chosen yet for {", ".join(lacking)}'
            if 'tune' not in self.args.stages:
                raise ToolError(f'{text}: run --stages tune first')
            self.failed.append(f'{stage} of what needs it: {text}')
            methods = [key for key in methods if not needed[key] & open_]
        return [
            trial
            for trial in self.plan.trials(stage, chosen)
            if trial.method in methods
            and (stage != 'train' or trial.seed in (self.args.seeds or self.plan.seeds))
        ]

    def trials(self, stage: str, trials: list[Trial]) -> None:
        """Carries out those that have no record yet."""
        left = [trial for trial in trials if find_record(self.args.results, trial) is None]
        if self.args.dry_run:
            for trial in left:
                options = ' '.join(f'{key}={value}' for key, value in trial.options.items())
                print(f'{stage} {trial.name}: {trial.config} {options}')
            return
        jobs = 1 if stage == 'cost' else self.jobs
        threads = max((os.cpu_count() or 1) // jobs, 1)
        workshop = Workshop(
            self.plan, TOOLS, self.args.work_dir, self.device, threads, self.args.gpus
        )
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
        except (ToolError, OSError) as error:
            if not self.stopped.is_set():
                self.failed.append(f'{trial.stage} {trial.name}: {error}')
                progress.console.print(one_line(self.failed[-1]), style='red', markup=False)
        else:
            record.write(self.args.results)
            progress.console.print(summary(record), markup=False, highlight=False)
            progress.advance(overall)
        progress.remove_task(task)


def summary(record: Record) -> str:
    """What came out, in a line."""
    name = f'{record.trial.stage} {record.trial.name}'
    if record.run is None:
        return f'{name}: {record.seconds:.3f} s/iteration, {record.memory:.0f} MiB'
    means = record.run.means
    return f'{name}: mIoU {means["mIoU"]:.2f}, mAcc {means["mAcc"]:.2f}'


def main() -> int:
    args = parse_args()
    plan = Plan.fromfile(args.plan)
    unknown = [key for key in args.methods or [] if key not in plan.methods]
    if unknown:
        raise ToolError(f'{args.plan} has no method {unknown[0]!r}: {", ".join(plan.methods)}')
    bench = Bench(args, plan)
    for stage in args.stages:
        bench.stage(stage)
    for failure in bench.failed:
        print(f'failed: {one_line(failure)}', file=sys.stderr)
    if not args.dry_run and not bench.failed:
        print(f'all is done; results: {args.results}')
    return 1 if bench.failed else 0


if __name__ == '__main__':
    raise SystemExit(run_tool(main))
