"""Measures time and memory of training steps on a GPU with plain and with weighting losses."""

import argparse
from pathlib import Path

import torch
from mmengine.config import Config
from mmseg.utils import register_all_modules
from rich.console import Console
from rich.progress import track

import mmseg_imbalance
from mmseg_imbalance.utils.command_line import run_tool, whole_number
from mmseg_imbalance.utils.errors import ToolError
from mmseg_imbalance.utils.laboratory import find_lab
from mmseg_imbalance.utils.machine import describe_machine

find_lab(__file__)

from lab.speed.tables import save_json, training_table  # noqa: E402
from lab.speed.training import Training, largest_batches, measure_training  # noqa: E402

DEFAULT = 'cross_entropy/ce_deeplabv3-r50-d8_4xb2-80k_cityscapes-512x1024.py'
EXAMPLE = """examples:
  python tools/analysis_tools/benchmark_training.py
  python tools/analysis_tools/benchmark_training.py --images 8 --size 240 320 --dtype bfloat16 \\
      --json training.json --largest 64

The model of a config is trained on random images and labels, with cross-entropy, loss max-pooling
and recall loss in all its heads, each computed as in MMSegmentation and fused with the upsampling.
The losses take turns. The times are medians, and the memory is that of the whole training.
"""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--config', default=mmseg_imbalance.config_path(DEFAULT), type=Path, metavar='FILE',
        help=f'config of the model and the optimizer (default: {DEFAULT})',
    )  # fmt: skip
    parser.add_argument(
        '--images', type=whole_number(minimum=2), default=2, metavar='N',
        help='images per step (default: %(default)s)',
    )  # fmt: skip
    parser.add_argument(
        '--size', nargs=2, type=whole_number(minimum=32), default=[512, 1024], metavar=('H', 'W'),
        help='height and width of the images in pixels (default: 512 1024)',
    )  # fmt: skip
    parser.add_argument(
        '--dtype', default='float16', choices=('float32', 'bfloat16', 'float16'),
        help='dtype of mixed precision; float32 disables it (default: %(default)s)',
    )  # fmt: skip
    parser.add_argument(
        '--repeats', type=whole_number(minimum=1), default=5, metavar='N',
        help='number of rounds, over which the median is taken (default: %(default)s)',
    )  # fmt: skip
    parser.add_argument(
        '--largest', type=whole_number(minimum=16), metavar='N',
        help='also find how many images fit into memory, up to N ≥ 16 in steps of N / 8',
    )  # fmt: skip
    parser.add_argument('--json', type=Path, metavar='FILE', help='also write all numbers to it')
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    if not torch.cuda.is_available():
        raise ToolError('training steps are measured on a GPU, and PyTorch finds none here')
    register_all_modules(init_default_scope=True)
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    device = torch.device('cuda', torch.cuda.current_device())
    size = tuple(args.size)
    settings = {'config': args.config.name, 'images': args.images, 'size': size}
    settings |= {'dtype': args.dtype, 'repeats': args.repeats}
    machine = describe_machine(device)
    print(', '.join(f'{key} {value}' for key, value in (machine | settings).items()))

    training = Training(Config.fromfile(args.config), args.images, size, device, args.dtype)
    console = Console(stderr=True)
    measured = measure_training(
        training, args.repeats,
        lambda rounds: track(rounds, 'training steps', console=console, transient=True),
    )  # fmt: skip
    print(f'\n{training_table(measured)}')
    report = {'machine': machine, 'settings': settings}
    report['steps'] = [m._asdict() for m in measured]
    save_json(args.json, report)
    if args.largest:
        tried = [args.largest * i // 8 for i in range(1, 9)]
        report['largest'] = largest_batches(training, tried)
        print('images that fit:', report['largest'])
        save_json(args.json, report)
    if args.json:
        print(f'written: {args.json}')
    return 0


if __name__ == '__main__':
    raise SystemExit(run_tool(main))
