"""Measures time and memory of the losses, compared with cross-entropy and others' losses."""

import argparse
import os
from pathlib import Path

os.environ.setdefault('KINETO_LOG_LEVEL', '99')  # before PyTorch is imported: its profiler chats

import torch
from mmseg.utils import register_all_modules
from rich.console import Console
from rich.progress import track

from mmseg_imbalance.utils.command_line import add_seed, first_line, run_tool, whole_number
from mmseg_imbalance.utils.errors import ToolError
from mmseg_imbalance.utils.files import write_figure
from mmseg_imbalance.utils.laboratory import find_lab
from mmseg_imbalance.utils.machine import describe_machine

find_lab(__file__)

from lab.speed.contestants import draw_label, loss_contestants, stage_contestants  # noqa: E402
from lab.speed.measure import ContestantError, Measurement, measure  # noqa: E402
from lab.speed.scaling import PLOTTED_BITS, scaling_figure  # noqa: E402
from lab.speed.tables import losses_table, save_json, stages_table  # noqa: E402

EXAMPLE = """examples:
  python tools/analysis_tools/benchmark_losses.py
  python tools/analysis_tools/benchmark_losses.py --device cuda --shape 4 150 512 512 --stride 4 \\
      --dtype bfloat16 --json losses.json
  python tools/analysis_tools/benchmark_losses.py --plot losses.png --repeats 5

For each loss, a forward and a backward pass is measured, from logits to their gradient. All losses
take turns on the same random logits, and 10 % of the pixels are ignored. Times are medians; ratios
within a run are more reliable than times of different runs. On a GPU the time of the device alone
is measured too, by replaying the step as a CUDA graph. It is the relevant time in a training, where
the CPU runs ahead of the GPU. Memory is the peak of a step beyond its input. The copy limit reads
the logits twice and writes as much once, which is the minimum for any loss. The second table shows
the work of a decode head from logits of 1/stride of the labels' size to their gradient: upsampling,
loss and accuracy, as in MMSegmentation and with FusedUpsamplingHook.
"""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--device', default='cuda' if torch.cuda.is_available() else 'cpu',
        help='device, such as cpu, cuda or cuda:1 (default: %(default)s)',
    )  # fmt: skip
    parser.add_argument(
        '--shape', nargs=4, type=whole_number(minimum=1), default=[2, 19, 512, 1024],
        metavar=('N', 'C', 'H', 'W'),
        help='images, classes, and height and width of the labels (default: 2 19 512 1024)',
    )  # fmt: skip
    parser.add_argument(
        '--dtype', default='float32', choices=('float32', 'bfloat16', 'float16', 'float64'),
        help='dtype of the logits (default: %(default)s)',
    )  # fmt: skip
    parser.add_argument(
        '--stride', type=whole_number(minimum=1), default=8, metavar='S',
        help='factor by which each side of the logits is upsampled (default: 8)',
    )  # fmt: skip
    parser.add_argument(
        '--repeats', type=whole_number(minimum=1), default=11, metavar='N',
        help='number of rounds, over which the median is taken (default: %(default)s)',
    )  # fmt: skip
    parser.add_argument(
        '--no-compile', action='store_true',
        help='leave out compiled losses; torch.compile needs a C++ compiler, or Triton on a GPU',
    )  # fmt: skip
    parser.add_argument(
        '--no-others', action='store_true', help="leave out others' losses, which take the longest"
    )
    parser.add_argument('--json', type=Path, metavar='FILE', help='also write all numbers to it')
    parser.add_argument(
        '--plot', type=Path, metavar='FILE.png',
        help='draw the time against the number of pixels, from 2^16 to 2^23, with C classes; this '
        'takes minutes, and the memory of several tensors of logits with 2^23 pixels',
    )  # fmt: skip
    add_seed(parser, 'logits and labels')
    return parser.parse_args()


def usable_device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(1, device=device).sum().item()
    except (RuntimeError, AssertionError) as error:
        raise ToolError(f'device {name!r} cannot be used: {first_line(error)}') from error
    return device


def run(args, device: torch.device, contestants: list, shape, label_size, what: str) -> list:
    """Measures steps on logits of ``shape`` and labels (N, H, W) of ``label_size``."""
    logits = torch.empty(*shape, device=device, dtype=getattr(torch, args.dtype))
    label = draw_label((shape[0], *label_size), shape[1], device)
    console = Console(stderr=True)
    try:
        return measure(
            contestants, logits, label, args.repeats,
            lambda rounds: track(rounds, what, console=console, transient=True),
        )  # fmt: skip
    except ContestantError as error:
        raise ToolError(
            f'{first_line(error)} (--no-others and --no-compile leave some out, a smaller --shape '
            'takes less memory)',
            exit_code=1,
        ) from error


def measure_losses(args, device: torch.device, shape) -> list[Measurement]:
    contestants = loss_contestants(
        shape[1], device, compile=not args.no_compile, others=not args.no_others
    )
    pixels = shape[0] * shape[2] * shape[3]
    return run(args, device, contestants, shape, shape[2:], f'losses of {pixels:,} pixels')


def measure_stages(args, device: torch.device) -> list[Measurement]:
    images, num_classes, *size = args.shape
    low = (-(-side // args.stride) for side in size)
    contestants = stage_contestants(num_classes)
    return run(args, device, contestants, (images, num_classes, *low), size, 'upsampling and loss')


def rows(measured: list[Measurement]) -> list[dict]:
    return [m._asdict() for m in measured]


def main() -> int:
    args = parse_args()
    if args.shape[1] < 2:
        raise ToolError(f'--shape has {args.shape[1]} class; the losses need two or more')
    device = usable_device(args.device)
    register_all_modules(init_default_scope=True)
    torch.manual_seed(args.seed)
    settings = {'shape': args.shape, 'dtype': args.dtype, 'repeats': args.repeats}
    machine = describe_machine(device)
    print(', '.join(f'{key} {value}' for key, value in (machine | settings).items()))

    losses = measure_losses(args, device, args.shape)
    stages = measure_stages(args, device)
    print(f'\n{losses_table(losses)}\n{stages_table(stages)}')
    report = {
        'machine': machine, 'settings': settings | {'stride': args.stride, 'seed': args.seed},
        'losses': rows(losses), 'stages': rows(stages),
    }  # fmt: skip
    save_json(args.json, report)
    if args.plot:
        by_pixels = {
            1 << bits: measure_losses(
                args, device, (1, args.shape[1], 1 << bits // 2, 1 << bits - bits // 2)
            )
            for bits in PLOTTED_BITS
        }
        report['by_pixels'] = {pixels: rows(measured) for pixels, measured in by_pixels.items()}
        title = f'{machine["device"]}, {args.shape[1]} classes, {args.dtype}'
        write_figure(args.plot, scaling_figure(by_pixels, title))
        print(f'written: {args.plot}')
        save_json(args.json, report)
    if args.json:
        print(f'written: {args.json}')
    return 0


if __name__ == '__main__':
    raise SystemExit(run_tool(main))
