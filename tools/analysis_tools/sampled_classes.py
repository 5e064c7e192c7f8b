"""Compares how often trainings see each class after sampling, augmentation and cropping."""

import argparse
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, set_random_seed

from mmseg_imbalance.datasets.store import sampler_by_class, training_statistics
from mmseg_imbalance.datasets.wrappers import plain_datasets
from mmseg_imbalance.sampling.class_feedback_hook import KEY
from mmseg_imbalance.sampling.seen import count_seen
from mmseg_imbalance.statistics.class_distribution import (
    class_distribution_figure,
    class_distribution_table,
)
from mmseg_imbalance.statistics.class_statistics import ClassStatistics, class_shares
from mmseg_imbalance.utils.checkpoints import read_checkpoint
from mmseg_imbalance.utils.command_line import add_seed, first_line, run_tool, whole_number
from mmseg_imbalance.utils.errors import ToolError
from mmseg_imbalance.utils.files import write_figure
from mmseg_imbalance.utils.resuming import latest_checkpoint
from mmseg_imbalance.utils.run_config import (
    add_config_arguments,
    check_data,
    load_config,
    newest_config,
)
from mmseg_imbalance.utils.terminal import print_markdown

EXAMPLE = """example that compares plain with class-balanced sampling:
  NAME=deeplabv3-r18-d16_1xb4-2k_camvid-240x320.py
  python tools/analysis_tools/sampled_classes.py configs/cross_entropy/ce_$NAME \\
      configs/class_balanced_sampling/ce-cbs_$NAME --figure work_dirs/sampled.png

The table shows, in percent, the share of each class in all pixels that are not ignored and
the share of the samples that show it, in the label maps and as each training sees them.
A sampler that follows the model's performance draws all classes equally if a config is
given, as before its first feedback. If the work dir of a run is given, it draws as at the
end of that run.
"""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_config_arguments(parser, several=True)
    parser.add_argument(
        '--draws',
        type=whole_number(minimum=1),
        default=2000,
        metavar='N',
        help='samples to draw with each config (default: %(default)s)',
    )
    parser.add_argument(
        '--figure', type=Path, metavar='FILE.png', help='also draw the shares to this file'
    )
    add_seed(parser, of='the sampling')
    return parser.parse_args()


def short_names(configs: list[str]) -> list[str]:
    """Returns the methods' names, or those of the files and folders, or paths; unique if can be."""
    stems = [Path(config).name.removesuffix('.py') for config in configs]
    methods = [stem.partition('_')[0] for stem in stems]
    return next((n for n in (methods, stems) if len(set(n)) == len(n)), configs)


def config_file(path: str) -> str:
    """Returns the path of a config, or of the config that a run saved in its work dir."""
    if not Path(path).is_dir():
        return path
    dumped = newest_config(Path(path))
    if dumped is None:
        raise ToolError(f'{path} is not the work dir of a run: it contains no config')
    return str(dumped)


def last_sampler_state(work_dir: str) -> dict:
    """Reads the last probabilities of the classes from the last checkpoint of a run."""
    checkpoint = latest_checkpoint(Config(dict(work_dir=work_dir)))
    if checkpoint is None:
        raise ToolError(f'{work_dir} has no checkpoint yet; give the config instead')
    state = read_checkpoint(checkpoint).get(KEY, {}).get('sampler', {})
    if not state.get('schedule'):
        raise ToolError(
            f'{checkpoint} has no probabilities of classes: the run had no ClassFeedbackHook; give '
            'the config instead'
        )
    return state | dict(schedule=[(0, state['schedule'][-1][1])])


def draw(path: str, args: argparse.Namespace) -> tuple[ClassStatistics, np.ndarray]:
    """Counts the pixels of each class in the label maps and in the samples of a training."""
    cfg = load_config(config_file(path), args.cfg_options)
    check_data(cfg, 'train')
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    set_random_seed(args.seed)  # for the augmentation if the config has no workers
    loader = Runner.build_dataloader(cfg.train_dataloader, seed=args.seed)
    statistics = training_statistics(cfg, loader.dataset)
    sampler = sampler_by_class(loader)
    if Path(path).is_dir() and getattr(sampler, 'adaptive', False):
        sampler.load_state_dict(last_sampler_state(path) | dict(seed=args.seed))
    ignored = plain_datasets(loader.dataset)[0].ignore_index
    return statistics, count_seen(loader, args.draws, len(statistics.classes), ignored)


def main() -> int:
    args = parse_args()
    names = short_names(args.config)
    if len(set(names)) < len(names):
        raise ToolError(f'names are given twice: {", ".join(names)}')
    shares, classes = {}, None
    for path, name in zip(args.config, names, strict=True):
        try:
            statistics, seen = draw(path, args)
        except (KeyError, TypeError, ValueError) as error:
            raise ToolError(f'{path}: {first_line(error)}') from error
        if statistics.classes != (classes or statistics.classes):
            raise ToolError(f'{path} has other classes than {args.config[0]}')
        classes = statistics.classes
        shares.setdefault('label maps', statistics.shares())
        shares[name] = class_shares(seen)
    print_markdown(class_distribution_table(classes, shares))
    if args.figure:
        figure = class_distribution_figure(classes, shares)
        write_figure(args.figure, figure)
        print(f'written: {args.figure}')
    return 0


if __name__ == '__main__':
    raise SystemExit(run_tool(main))
