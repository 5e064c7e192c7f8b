"""Counts the classes of a config's training data and writes files derived from the counts."""

import argparse
import sys
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS

from mmseg_imbalance.datasets.label_maps import LabelMaps, find_label_maps
from mmseg_imbalance.datasets.store import (
    count_and_save,
    default_path,
    load_or_count,
    named_counting,
)
from mmseg_imbalance.statistics import class_weights
from mmseg_imbalance.statistics.class_distribution import (
    class_distribution_figure,
    class_distribution_table,
)
from mmseg_imbalance.statistics.class_statistics import ClassStatistics
from mmseg_imbalance.statistics.class_weights import METHODS, check_suffix, save_class_weights
from mmseg_imbalance.statistics.rare_class_files import write_rare_class_files
from mmseg_imbalance.utils.command_line import add_nproc, ratio, run_tool
from mmseg_imbalance.utils.errors import ToolError
from mmseg_imbalance.utils.files import write_figure
from mmseg_imbalance.utils.run_config import add_config_arguments, check_data, load_config
from mmseg_imbalance.utils.terminal import print_markdown

EXAMPLES = """examples:
  CONFIG=configs/cross_entropy/ce_deeplabv3-r18-d16_1xb4-2k_camvid-240x320.py
  python tools/analysis_tools/class_statistics.py $CONFIG
  python tools/analysis_tools/class_statistics.py $CONFIG --class-weight \\
      median_frequency=data/camvid/weights.json enet=data/camvid/enet.npy

The table shows, in percent, the share of each class in all pixels that are not ignored and
the share of the images that contain it. The counts are kept in a file, which samplers read.
Exit code: 0 done, 2 wrong usage or bad data (the text says which).
"""


def weight_file(text: str) -> tuple[str, Path]:
    method, _, path = text.partition('=')
    if method not in METHODS or not path:
        raise argparse.ArgumentTypeError(
            f'{text!r} is not METHOD=FILE with one of the methods {", ".join(METHODS)}'
        )
    try:
        check_suffix(path)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return method, Path(path)


def npz_file(text: str) -> Path:
    if not text.endswith('.npz'):
        raise argparse.ArgumentTypeError(f'{text!r} does not end in .npz')
    return Path(text)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_config_arguments(parser)
    parser.add_argument(
        '--out',
        type=npz_file,
        metavar='FILE.npz',
        help='file of the counts (default: the file that the config names, or else one in '
        'class_statistics/ in the data root, under a name that changes with the list of label '
        'maps and how they are read)',
    )
    parser.add_argument(
        '--figure',
        type=Path,
        metavar='FILE.png',
        help='file of the figure (default: beside the counts, with suffix .png)',
    )
    parser.add_argument(
        '--rcs-dir',
        type=Path,
        metavar='DIR',
        help="folder for DAFormer's sample_class_stats.json and samples_with_class.json",
    )
    parser.add_argument(
        '--class-weight',
        nargs='+',
        type=weight_file,
        default=[],
        metavar='METHOD=FILE',
        help="write class weights, the losses' class_weight, to a .json, .yaml or .npy FILE; "
        f'METHOD is one of {", ".join(METHODS)}',
    )
    parser.add_argument(
        '--beta',
        type=ratio,
        default=0.999,
        help='parameter of effective_number, between 0 and 1: the closer to 1, the larger the '
        'weight of a class in few images (default: %(default)s)',
    )
    parser.add_argument(
        '--force', action='store_true', help='count again and overwrite an existing file'
    )
    add_nproc(parser)
    return parser.parse_args()


def list_labels(cfg: Config, args: argparse.Namespace) -> LabelMaps:
    check_data(cfg, 'train')
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    try:
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
    except Exception as error:  # data sets raise all kinds of errors, some without a message
        reason = ' '.join((str(error) or type(error).__name__).split())
        raise ToolError(
            f'cannot build train_dataloader.dataset of {args.config}: {reason} (are there files '
            'in its folders, and do its data_prefix and suffixes fit them?)'
        ) from error
    return find_label_maps(dataset)


def note_on_sampling(cfg: Config) -> None:
    """Says that a training with the config may see the classes more or less often."""
    sampler = cfg.train_dataloader.get('sampler') or {}
    if 'ClassBalanced' in str(sampler.get('type')):
        print(
            'note: these are the shares in the label maps; the sampler of the config changes them, '
            'which ClassStatisticsHook takes into account and sampled_classes.py measures',
            file=sys.stderr,
        )


def get_statistics(labels: LabelMaps, path: Path, args: argparse.Namespace) -> ClassStatistics:
    if args.force or not path.exists():
        return count_and_save(labels, path, args.nproc)
    statistics = load_or_count(labels, path)
    print(f'up to date, loaded: {path}')
    return statistics


def write_all(statistics: ClassStatistics, path: Path, args: argparse.Namespace) -> list[Path]:
    """Prints the table, writes all requested files and returns their paths."""
    shares = {'training data': statistics.shares()}
    print_markdown(class_distribution_table(statistics.classes, shares))
    written = [path]
    if args.rcs_dir:
        written += write_rare_class_files(statistics, args.rcs_dir)
    for method, file in args.class_weight:
        save_class_weights(class_weights(statistics, method, args.beta), file)
        written.append(file)
    figure = args.figure or path.with_suffix('.png')
    write_figure(figure, class_distribution_figure(statistics.classes, shares))
    return [*written, figure]


def main() -> int:
    args = parse_args()
    try:
        cfg = load_config(args.config, args.cfg_options)
        labels = list_labels(cfg, args)
        path = args.out or Path(named_counting(cfg)[0] or default_path(labels))
        statistics = get_statistics(labels, path, args).drawn(labels.repetitions)
        written = write_all(statistics, path, args)
    except (TypeError, ValueError) as error:
        raise ToolError(str(error)) from error
    absent = [labels.classes[c] for c in np.flatnonzero(statistics.pixel_share == 0)]
    if absent:
        print(
            f'warning: no pixel of {", ".join(absent)}; their class weight is 0 '
            f'({statistics.ignored_share:.1%} of all pixels are ignored)',
            file=sys.stderr,
        )
    note_on_sampling(cfg)
    print(f'{len(labels.maps)} label maps; files: {", ".join(map(str, written))}')
    return 0


if __name__ == '__main__':
    raise SystemExit(run_tool(main))
