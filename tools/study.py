"""Trains all methods of a plan under one protocol with several seeds, and keeps their scores."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from mmseg_imbalance.utils.command_line import one_line, run_tool, whole_number
from mmseg_imbalance.utils.errors import ToolError
from mmseg_imbalance.utils.laboratory import find_lab

find_lab(__file__)

from lab.study.bench import Bench  # noqa: E402
from lab.study.plan import DEFAULT_STAGES, STAGES, Plan  # noqa: E402

TOOLS = Path(__file__).resolve().parent
EXAMPLES = """examples:
  python tools/study.py lab/plans/camvid.py                      # everything, resumable
  python tools/study.py lab/plans/camvid.py --stages tune train --methods ce lmp --seeds 0
  python tools/study.py lab/plans/cityscapes.py --stages train --methods ce wce-median
  python tools/study.py lab/plans/toy_streets.py --stages train --methods ce recall --predictions
  python tools/study.py lab/plans/camvid.py --dry-run            # lists the trainings

Stages: "tune" trains with every value of the methods' grids on a part of the training set and
scores the rest of it. "train" trains with the best of these values and scores the last checkpoint,
plain and with test-time augmentation. "cost" measures time and memory, one training at a time.
"calibrate" finds offsets of the classes on the images that the tuning held out, and scores the
validation images with and without them.
A study that was interrupted or is run again continues where it stopped. The work dir then has the
results, a small JSON file per training, and a report of them: report.md and figures, which
tools/analysis_tools/study_report.py can make again. Exit code: 0 all is done, 1 some trainings
failed (the text says which and why), 2 wrong usage.
"""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('plan', help='Python file with methods, setting and seeds')
    parser.add_argument(
        '--stages',
        nargs='+',
        choices=STAGES,
        default=DEFAULT_STAGES,
        help='default: tune train cost',
    )
    parser.add_argument(
        '--methods', nargs='+', default=[], metavar='KEY', help='default: all of the plan'
    )
    parser.add_argument(
        '--seeds',
        nargs='+',
        default=[],
        type=whole_number(minimum=0),
        help='default: those of the plan',
    )
    parser.add_argument(
        '--work-dir',
        type=Path,
        help='logs, checkpoints and the report (default: work_dirs/study/<name of the plan>)',
    )
    parser.add_argument(
        '--results',
        type=Path,
        help='folder of the results; trainings with a result are done (default: WORK_DIR/results)',
    )
    parser.add_argument(
        '--jobs',
        type=whole_number(minimum=1),
        help='trainings at once, except for "cost" (default: 1 on GPUs, else one per CPU core)',
    )
    parser.add_argument(
        '--gpus',
        type=whole_number(minimum=1),
        help="processes of a training, one per GPU, each with the config's batch size (default: "
        "the number in the name of the plan's setting)",
    )
    parser.add_argument(
        '--predictions',
        action='store_true',
        help='also draw predictions.png: what the networks of these methods, of the first seed, '
        'predict on the validation images with the rarest classes',
    )
    parser.add_argument('--dry-run', action='store_true', help='only list the trainings')
    args = parser.parse_args()
    args.work_dir = args.work_dir or Path('work_dirs/study', Path(args.plan).stem)
    args.results = args.results or args.work_dir / 'results'
    return args


def main() -> int:
    args = parse_args()
    plan = Plan.fromfile(args.plan)
    if args.gpus:
        plan = replace(plan, gpus=args.gpus)
    asked = (('method', args.methods, plan.methods), ('seed', args.seeds, plan.seeds))
    for what, wanted, known in asked:
        for each in wanted:
            if each not in known:
                raise ToolError(f'{args.plan} has no {what} {each!r}: {", ".join(map(str, known))}')
    bench = Bench(
        plan,
        TOOLS,
        args.work_dir,
        args.results,
        stages=args.stages,
        methods=args.methods,
        seeds=args.seeds,
        jobs=args.jobs,
    )
    if args.dry_run:
        for line in bench.preview():
            print(line)
        return 0
    written = bench.carry_out()
    if args.predictions and not bench.failed:
        written.append(bench.draw_predictions())
    if written:
        print(f'written: {", ".join(map(str, written))}')
    for failure in bench.failed:
        print(f'failed: {one_line(failure)}', file=sys.stderr)
    if not bench.failed:
        print(f'all is done; results: {args.results}')
    return 1 if bench.failed else 0


if __name__ == '__main__':
    raise SystemExit(run_tool(main))
