"""Draws the toy streets data set."""

import argparse
import re
from pathlib import Path

from mmseg_imbalance.datasets.conversion import report
from mmseg_imbalance.utils.command_line import add_nproc, add_seed, run_tool, whole_number
from mmseg_imbalance.utils.laboratory import find_lab

find_lab(__file__)

from lab.streets.make_toy_streets import make_toy_streets  # noqa: E402
from lab.streets.street_scene import CLASSES  # noqa: E402


def size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r'(\d+)x(\d+)', text)
    if match is None:
        raise argparse.ArgumentTypeError(f'{text!r} is not WIDTHxHEIGHT, such as 256x128')
    return int(match[1]), int(match[2])


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Draw toy streets: procedural street scenes with ten classes, from road (33 % '
        'of the\npixels) to bicycle (0.2 %), in the folder layout of Cityscapes.',
        epilog='example:\n  python tools/dataset_converters/toy_streets.py data/toy_streets '
        '--train 300 --val 60\n\nThe same seed gives the same files. If interrupted, run it again '
        'to continue.\nExit code: 0 all done, 1 some files failed (they are named), 2 wrong usage.',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('destination', type=Path, help='folder to write, made if missing')
    count = whole_number(minimum=0)
    for split, default in (('train', 300), ('val', 60)):
        parser.add_argument(
            f'--{split}',
            type=count,
            default=default,
            metavar='N',
            help=f'number of {split} images (default: %(default)s)',
        )
    add_seed(parser, of='the data set')
    parser.add_argument(
        '--size',
        type=size,
        default=(256, 128),
        metavar='WxH',
        help='width x height in pixels (default: 256x128)',
    )
    add_nproc(parser)
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    counts = dict(train=args.train, val=args.val)
    outcomes = make_toy_streets(args.destination, counts, args.seed, args.size, args.nproc)
    return report(outcomes, CLASSES)


if __name__ == '__main__':
    raise SystemExit(run_tool(main))
