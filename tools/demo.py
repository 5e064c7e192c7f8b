"""Trains a network with three losses on procedural long-tailed streets and compares the losses."""

import argparse
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from mmengine.device import get_device

from mmseg_imbalance.utils.command_line import run_tool, whole_number
from mmseg_imbalance.utils.errors import ToolError
from mmseg_imbalance.utils.laboratory import find_lab
from mmseg_imbalance.utils.terminal import print_markdown

find_lab(__file__)

from lab.claim import claim  # noqa: E402
from lab.study.bench import Bench  # noqa: E402
from lab.study.plan import Plan  # noqa: E402
from lab.study.results import Results  # noqa: E402
from lab.study.run_tables import run_tables  # noqa: E402

TOOLS = Path(__file__).resolve().parent
PLAN = TOOLS.parent / 'lab' / 'plans' / 'demo.py'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__ + ' An interrupted demo continues where it stopped.',
        epilog='example: python tools/demo.py --work-dir work_dirs/demo',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        '--work-dir', type=Path, default=Path('work_dirs/demo'), help='logs, weights and the report'
    )
    parser.add_argument('--data-root', default='data/toy_streets', help='folder for the images')
    count = whole_number(minimum=1)
    parser.add_argument('--train', type=count, default=300, help='number of training images')
    parser.add_argument('--val', type=count, default=60, help='number of validation images')
    parser.add_argument(
        '--iters', type=count, default=800, help='iterations of 8 images; fewer for a quick look'
    )
    return parser.parse_args()


def draw_streets(args: argparse.Namespace) -> None:
    recipe, counts = args.work_dir / 'recipe.json', dict(train=args.train, val=args.val)
    if recipe.is_file() and (found := claim(recipe, counts)) != counts:
        raise ToolError(
            f'{args.work_dir} holds a demo on {found} images; choose another --work-dir'
        )
    tool = TOOLS / 'dataset_converters' / 'toy_streets.py'
    sizes = ['--train', str(args.train), '--val', str(args.val)]
    done = subprocess.run([sys.executable, tool, args.data_root, *sizes])
    if done.returncode:
        raise ToolError(f'{tool.name} failed', done.returncode)
    claim(recipe, counts)  # only now, so that after an error other numbers can be asked for


def plan_of(args: argparse.Namespace) -> Plan:
    plan = Plan.fromfile(PLAN)
    roots = {f'{stage}_dataloader.dataset.data_root': args.data_root for stage in ('train', 'val')}
    return replace(plan, options={**roots, 'train_cfg.max_iters': args.iters})


def main() -> int:
    args, started = parse_args(), time.monotonic()
    draw_streets(args)
    # on a CPU all at once: two threads of one training wait for one another a third of the time
    plan, jobs = plan_of(args), 1 if get_device() != 'cpu' else 3
    bench = Bench(
        plan, TOOLS, args.work_dir, args.work_dir / 'results', stages=['train'], jobs=jobs
    )
    bench.carry_out()
    if bench.failed:
        raise ToolError('; '.join(bench.failed), 1)
    bench.draw_predictions()
    for table in run_tables(Results.read(bench.plan, bench.results).comparison):
        if table.header[0] == 'class' and 'difference' not in table.title:
            print(table.title)
            print_markdown(table.to_markdown())
    minutes = (time.monotonic() - started) / 60
    print(f'{minutes:.1f} minutes; written: {args.work_dir}/report.md and predictions.png')
    return 0


if __name__ == '__main__':
    raise SystemExit(run_tool(main))
