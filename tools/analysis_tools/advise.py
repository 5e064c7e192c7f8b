"""Which method for my data? Says what the records of the studies speak for, and at what price."""

import argparse
import shlex
import sys
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmseg_imbalance.datasets.store import training_statistics
from mmseg_imbalance.statistics.class_distribution import percent
from mmseg_imbalance.utils.command_line import first_line, run_tool
from mmseg_imbalance.utils.errors import ToolError
from mmseg_imbalance.utils.laboratory import find_lab
from mmseg_imbalance.utils.markdown import escape_markdown
from mmseg_imbalance.utils.run_config import add_config_arguments, load_config
from mmseg_imbalance.utils.terminal import print_markdown

find_lab(__file__)

from lab.study import advice  # noqa: E402
from lab.study.advised_config import config_lines, has_plain_loss, obstacle  # noqa: E402
from lab.study.run import RunError, read_run  # noqa: E402
from lab.study.run_settings import loss_types  # noqa: E402
from lab.study.run_tables import Table, numbers  # noqa: E402
from lab.study.tables import cost_table  # noqa: E402

ROOT = Path(advice.__file__).resolve().parents[2]
MEANS = {'mIoU': 'mIoU', 'mAcc': 'mAcc', 'mIoU_tail': 'tail IoU', 'aAcc': 'aAcc'}
COSTS = "(± over the runs), time and memory are multiples of cross-entropy's:"
PRICE = f'Gains are points over cross-entropy {COSTS}'
SCORES = f'Scores are in percent {COSTS}'
EXAMPLE = """example:
  CONFIG=configs/cross_entropy/ce_deeplabv3-r18-d8_1xb8-800_toy-streets-128x256.py
  python tools/train.py $CONFIG --work-dir work_dirs/plain
  python tools/analysis_tools/advise.py $CONFIG --run work_dirs/plain

A class is rare by pixels with less than 2 % of the training pixels, as the tail in all scores.
It is rare by images if less than 10 % of the images contain it: sampling by class found bicycles
that were in 5 %, and added nothing to recall loss on toy streets, where every class is in 38 % or
more. On photographs with classes in between only one method has several trainings, so only that one
can be recommended for them; if they are rare by pixels, too, the methods for these follow.
With --run, a class is missed if its recall there is below 50 %.
A method is recommended only for results in lab/plans/results: mIoU rises by more than a standard
deviation in more than half of the studies that have several runs of the method, and so does the IoU
of the tail. Of studies that differ only in their length, the longest with several runs counts.
The order is that of the gains of mIoU on held-out videos; methods without these come last, by their
mean gain in the other studies. Of methods with the same "if", only the first is recommended.
The runs of a study are trainings with several seeds, scored on the validation images. Where whole
videos of the training set were held out in turn, they are the trainings without one of them, scored
on this video: videos that the network has never seen tell more than the next frames of known ones.
Exit code: 0 done, 2 wrong usage or bad data (the text says which).
"""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_config_arguments(parser)
    parser.add_argument(
        '--run',
        metavar='WORK_DIR',
        help='a finished training with cross-entropy: classes that it finds need no help',
    )
    return parser.parse_args()


def read_classes(cfg: Config, args: argparse.Namespace) -> list[advice.ClassState]:
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    try:
        run = read_run(args.run) if args.run else None
        losses = loss_types(run.settings) if run else set()
        if losses - {'CrossEntropyLoss'}:
            named = ' and '.join(sorted(losses))
            print(f'note: {args.run} is no run of cross-entropy, but of {named}', file=sys.stderr)
        return advice.class_states(training_statistics(cfg), run)
    except (KeyError, TypeError, ValueError, AssertionError) as error:
        place = args.run if isinstance(error, RunError) else args.config
        raise ToolError(f'{place}: {first_line(error)}') from error


def class_table(classes: list[advice.ClassState]) -> str:
    rows = []
    for c in classes:
        scores = ['–' if np.isnan(score) else f'{score:.1f}' for score in (c.iou, c.recall)]
        rows.append([c.name, percent(c.pixels), percent(c.images), *scores, c.verdict])
    header = ['class', 'pixels %', 'images %', 'IoU %', 'recall %', 'verdict']
    return Table('', header, rows).to_markdown()


def method_text(number: int, each: advice.Recommendation) -> str:
    """Writes why a method is recommended, and a line per study: what it gained and its price."""
    key, is_baseline, rows = each.rule.method, each.rule.situation == 'none', []
    for study, *scores in zip(each.studies, *map(each.scores, MEANS), strict=True):
        cells = [n._replace(best=False) for n in numbers(scores, sign='' if is_baseline else '+')]
        costs = ['–', '–']  # as multiples of the baseline's
        if study.plan.baseline in study.costs:
            costs = cost_table(study, [study.plan.methods[key]]).rows[0][2::2]
        title = study.plan.title if is_baseline else advice.judged_title(study)
        rows.append([title, str(scores[0].runs), *cells, *costs])
    header = ['scores' if is_baseline else 'gains', 'runs', *MEANS.values(), 'time', 'memory']
    return (
        f'**{number}. {each.name}**, if {each.rule.condition} (configs/{each.rule.page}/README.md).'
        f' {escape_markdown(each.reason)}.\n\n' + Table('', header, rows).to_markdown()
    )


def train_command(config: Path | str, args: argparse.Namespace, *more: str) -> str:
    options = [f'{key}={value}' for key, value in args.cfg_options.items()]
    options = ['--cfg-options'] * bool(options) + options
    return shlex.join(['python', 'tools/train.py', str(config), *more, *options])


def show_config(cfg: Config, each: advice.Recommendation, args: argparse.Namespace) -> None:
    path, trial = Path(args.config), each.trial
    if each.rule.situation == 'none' and has_plain_loss(cfg):
        print(f'The config trains number 1 as it is:\n\n{train_command(path, args)}\n')
        return
    if Config._is_lazy_import(args.config):
        print(
            f'No `_base_` can name {path}, which is in pure Python: for the lines that train '
            'number 1, give this tool the config that tools/train.py wrote to a work dir.\n'
        )
        return
    if why_not := obstacle(cfg):
        print(f'No lines can train number 1: in {path}, {why_not}.\n')
        return
    child = path.with_name(f'{trial.method}_{path.name.removeprefix("ce_")}')
    if child == path:  # it has the name of cross-entropy, but another loss
        child = path.with_name(f'{trial.method}_{path.name}')
    print(f'To train number 1, save these lines as {child}:\n')
    print(config_lines(f'./{path.name}', cfg, trial, ROOT / 'configs'))
    print(f'{train_command(child, args)}\n')


def main() -> int:
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options)
    classes = read_classes(cfg, args)
    evidence = advice.read_evidence(ROOT / 'lab/plans')
    recommended, withheld = advice.advise(classes, evidence)
    texts = [class_table(classes), 'The records speak for no method.']
    if recommended:
        texts[-1] = SCORES if recommended[0].rule.situation == 'none' else PRICE
    texts += [method_text(i, each) for i, each in enumerate(recommended, start=1)]
    texts += [f'Not recommended: {key}, {reason}.' for key, reason in withheld.items()]
    texts += [f'{escape_markdown(note)}.' for note in advice.unrecorded(classes, evidence)]
    for text in texts:
        print_markdown(text)
    print()
    if recommended:
        show_config(cfg, recommended[0], args)
    print('What would change this:')
    if not args.run:
        folder = str(Path('work_dirs', Path(args.config).stem))
        print('- the baseline, given with --run, since classes that it finds need no help:')
        print(f'  {train_command(args.config, args, "--work-dir", folder)}')
    if recommended:
        print('- what counts for you, the words after "if" above; more in docs/choosing.md')
    print('- your own runs over several seeds: tools/analysis_tools/compare_runs.py compares them')
    return 0


if __name__ == '__main__':
    raise SystemExit(run_tool(main))
