"""Draws how loss max-pooling weighs pixels, to help choose p and ratio."""

import argparse
from pathlib import Path

import numpy as np

from mmseg_imbalance.utils.command_line import pooling_norm, pooling_ratio, run_tool
from mmseg_imbalance.utils.errors import ToolError
from mmseg_imbalance.utils.files import read_array, read_bytes, write_figure
from mmseg_imbalance.weighting.pooling_figure import weighting_figure

EXAMPLE = """examples:
  python tools/analysis_tools/plot_weighting.py work_dirs/weighting.png
  python tools/analysis_tools/plot_weighting.py out.png --p 1 1.5 2 --ratio 0.1 --losses losses.npy

Plain averaging gives every pixel the weight 1; a pixel of weight 2 counts twice as much.
"""

MAX_TEXT = 1 << 28  # bytes, enough for some ten million losses


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('out', type=Path, metavar='FILE.png', help='the figure')
    parser.add_argument(
        '--p', nargs='+', type=pooling_norm, default=[1, 1.3, 1.7, 3, float('inf')], metavar='P',
        help='norms, one line per norm (default: 1 1.3 1.7 3 inf)',
    )  # fmt: skip
    parser.add_argument(
        '--ratio', nargs='+', type=pooling_ratio, default=[0.05, 0.25], metavar='R',
        help='least shares of the pixels that have to carry the weight, one panel per share '
        '(default: 0.05 0.25)',
    )  # fmt: skip
    parser.add_argument(
        '--losses',
        type=Path,
        metavar='FILE',
        help='pixel losses, as .npy or as text with one per line (default: quantiles of an '
        'exponential distribution, because few pixels have large losses)',
    )
    return parser.parse_args()


def read_losses(path: Path | None) -> np.ndarray:
    if path is None:
        return -np.log((np.arange(1000) + 0.5) / 1000)
    try:
        if path.suffix == '.npy':
            return read_array(path)
        lines = read_bytes(path, MAX_TEXT).decode().split('\n')
        return np.loadtxt(lines, ndmin=1) if any(map(str.strip, lines)) else np.empty(0)
    except OSError as error:
        raise ToolError(f'{path} holds no losses: {error.strerror}') from error
    except ValueError as error:
        raise ToolError(f'{path} holds no losses: {error}') from error


def main() -> int:
    args = parse_args()
    try:
        figure = weighting_figure(read_losses(args.losses), args.p, args.ratio)
    except ValueError as error:
        raise ToolError(f'{args.losses}: {error}') from error
    write_figure(args.out, figure)
    print(f'written: {args.out}')
    return 0


if __name__ == '__main__':
    raise SystemExit(run_tool(main))
