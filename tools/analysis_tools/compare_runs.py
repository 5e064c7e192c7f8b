"""Compares finished trainings: means and spreads over seeds, class gains and curves."""

import argparse
import sys
from pathlib import Path

from rich.progress import track

from mmseg_imbalance.utils.command_line import one_line, run_tool
from mmseg_imbalance.utils.errors import ToolError
from mmseg_imbalance.utils.laboratory import find_lab
from mmseg_imbalance.utils.terminal import print_markdown

find_lab(__file__)

from lab.study.compared_runs import Comparison, compare_runs  # noqa: E402
from lab.study.run import RunError, read_run  # noqa: E402
from lab.study.run_report import write_run_comparison  # noqa: E402
from lab.study.run_tables import run_tables  # noqa: E402

EXAMPLES = """examples:
  python tools/analysis_tools/compare_runs.py work_dirs/ce work_dirs/lmp work_dirs/recall
  python tools/analysis_tools/compare_runs.py work_dirs/*_camvid_seed* --baseline ce
  python tools/analysis_tools/compare_runs.py CE=work_dirs/a CE=work_dirs/b RL=work_dirs/c

Runs whose configs differ only in the seed, paths of logs and the like are repetitions of one
method. They are shown as mean ± sample standard deviation, in percent. Scores are those of the
training's last validation, by ImbalanceMetric; scores of tools/test.py are not read.
The tool writes comparison.md, .tex (for LaTeX, with booktabs) and .json, and the figures
classes.png (differences of classes to the baseline, tail first) and curves.png.
Exit code: 0 all runs are compared, 1 some were left out (the text says why), 2 wrong usage, runs
on different data, or no run that can be compared.
"""


def named_work_dir(text: str) -> tuple[str | None, str]:
    name, equals, path = text.partition('=')
    if not equals or Path(text).exists():
        return None, text
    if not name or not path:
        raise argparse.ArgumentTypeError(f'{text!r} is not NAME=WORK_DIR')
    return one_line(name), path


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'runs',
        nargs='+',
        type=named_work_dir,
        metavar='[NAME=]WORK_DIR',
        help='work dirs of trainings. Runs with the same NAME are one method; without NAME, runs '
        "with equal settings are, named after the method in the config's name, else the config, "
        'else the work dir',
    )
    parser.add_argument(
        '--baseline',
        metavar='NAME',
        help='method to compare the classes with (default: ce if there is one, else the first)',
    )
    parser.add_argument(
        '--out-dir',
        type=Path,
        default=Path('work_dirs/comparison'),
        metavar='DIR',
        help='folder of the tables and figures (default: %(default)s)',
    )
    return parser.parse_args()


def read_and_compare(args: argparse.Namespace) -> Comparison:
    runs, left_out, seen = [], [], {}
    for name, path in track(args.runs, description='reading'):
        folder = Path(path).resolve()
        if folder in seen:
            raise ToolError(f'one run is given twice: {seen[folder]} and {path}')
        seen[folder] = path
        try:
            runs.append((name, read_run(path)))
        except (OSError, RunError) as error:
            left_out.append((path, str(error)))
    for path, reason in left_out:
        print(one_line(f'left out: {path}: {reason}'), file=sys.stderr)
    if not runs:
        raise ToolError('no run is left to compare')
    try:
        return compare_runs(runs, args.baseline, left_out)
    except ValueError as error:
        raise ToolError(str(error)) from error


def main() -> int:
    args = parse_args()
    comparison = read_and_compare(args)
    for warning in comparison.warnings:
        print(f'warning: {warning}', file=sys.stderr)
    for table in run_tables(comparison):
        if table.header[0] == 'method':  # tables of the classes are only in the files
            print_markdown(table.to_markdown())
    written = write_run_comparison(comparison, args.out_dir)
    print(f'written: {", ".join(map(str, written))}')
    return 1 if comparison.left_out else 0


if __name__ == '__main__':
    raise SystemExit(run_tool(main))
