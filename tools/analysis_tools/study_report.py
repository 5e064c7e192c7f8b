"""Makes tables and figures of the results of tools/study.py."""

import argparse
from pathlib import Path

from mmseg_imbalance.utils.command_line import run_tool
from mmseg_imbalance.utils.laboratory import find_lab
from mmseg_imbalance.utils.terminal import print_markdown

find_lab(__file__)

from lab.study.metafile import update_metafile  # noqa: E402
from lab.study.pages import update_page  # noqa: E402
from lab.study.plan import Plan  # noqa: E402
from lab.study.report import write_figures, write_report  # noqa: E402
from lab.study.results import Results  # noqa: E402
from lab.study.tables import summary_table  # noqa: E402

EXAMPLES = """examples:
  python tools/analysis_tools/study_report.py lab/plans/camvid.py \\
      --results work_dirs/study/camvid/results --out-dir work_dirs/report
  python tools/analysis_tools/study_report.py lab/plans/camvid.py lab/plans/toy_streets.py \\
      --pages README.md docs/*.md configs/*/README.md configs/*/metafile.yml --figures docs/images

The first example writes report.md, comparison.json and the figures pareto.png, classes.png and
curves.png. The second fills the places for results in pages, from
<!-- results: PLAN TABLE [METHOD ...] --> to <!-- end of results -->, and the results of configs in
metafiles; this project's own pages are made so. With --check nothing is written.
Exit code: 0 success, 1 --check found tables out of date, 2 wrong usage or no results.
"""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('plans', nargs='+', metavar='PLAN', help='plans, as for tools/study.py')
    parser.add_argument(
        '--results',
        type=Path,
        help='folder of the results of a single plan (default: results/<plan> beside the plan)',
    )
    parser.add_argument('--out-dir', type=Path, help='folder for the report of a single plan')
    parser.add_argument(
        '--pages', nargs='+', type=Path, default=[], help='Markdown files and metafile.yml to fill'
    )
    parser.add_argument(
        '--figures', type=Path, metavar='DIR', help='draw DIR/<plan>_pareto.png and so on'
    )
    parser.add_argument('--check', action='store_true', help='only say which pages are out of date')
    args = parser.parse_args()
    if len(args.plans) > 1 and (args.results or args.out_dir):
        parser.error('--results and --out-dir are for one plan')
    return args


def main() -> int:
    args = parse_args()
    results = {}
    for path in map(Path, args.plans):
        plan = Plan.fromfile(path)
        results[plan.key] = Results.read(plan, args.results or path.parent / 'results' / plan.key)
    outdated = [
        path
        for path in args.pages
        if (update_metafile if path.suffix == '.yml' else update_page)(path, results, args.check)
    ]
    for path in outdated:
        print(f'{"out of date" if args.check else "written"}: {path}')
    if args.check:
        return 1 if outdated else 0
    for key, found in results.items():
        print_markdown(f'**{found.plan.title}**\n\n{summary_table(found).to_markdown()}')
        written = write_report(found, args.out_dir) if args.out_dir else []
        written += write_figures(found, args.figures, f'{key}_') if args.figures else []
        if written:
            print(f'written: {", ".join(map(str, written))}')
    return 0


if __name__ == '__main__':
    raise SystemExit(run_tool(main))
