"""Trains a segmentor from a config file, on a CPU, one GPU or many GPUs."""

import argparse

import torch
from mmengine.device import get_device
from mmengine.runner import Runner
from mmseg.registry import RUNNERS

from mmseg_imbalance.hooks import ConsistencyHook, RunSummaryHook
from mmseg_imbalance.utils.checkpoints import harmless_loads
from mmseg_imbalance.utils.command_line import one_line_errors
from mmseg_imbalance.utils.cpu_launch import leave_cpu_launch, prepare_cpu_launch
from mmseg_imbalance.utils.file_errors import one_line_file_errors
from mmseg_imbalance.utils.misfits import MisfitHook
from mmseg_imbalance.utils.run_config import (
    add_run_arguments,
    check_data,
    enable_amp,
    load_run_config,
    set_start,
)

EXAMPLE = """example:
  python tools/train.py configs/recall_loss/recall_deeplabv3-r18-d16_1xb4-2k_camvid-240x320.py \\
      --work-dir work_dirs/recall_camvid --cfg-options train_dataloader.num_workers=4
"""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_run_arguments(parser)
    parser.add_argument(
        '--resume',
        action='store_true',
        help='resume from the latest checkpoint in the work dir, or from the one given by '
        '--cfg-options load_from=CHECKPOINT; if there is none, start a new training',
    )
    parser.add_argument(
        '--amp',
        action='store_true',
        help='mixed precision: float16 on a GPU, bfloat16 on a CPU (default: float32)',
    )
    return parser.parse_args()


def build_runner(args: argparse.Namespace) -> Runner:
    cfg = load_run_config(args)
    check_data(cfg, 'train', *(['val'] if cfg.get('val_dataloader') else []))
    if args.amp:
        enable_amp(cfg)
    checkpoint = set_start(cfg, args)
    prepare_cpu_launch(cfg)
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    if checkpoint:
        runner.register_hook(MisfitHook(checkpoint, training=True))
    if get_device() == 'cpu':
        runner.logger.info('training on the CPU: PyTorch %s finds no GPU', torch.__version__)
    for kind in (ConsistencyHook, RunSummaryHook):  # for every config, also those of others
        if not any(isinstance(hook, kind) for hook in runner.hooks):
            runner.register_hook(kind())
    return runner


def main() -> None:
    way_on = 'the same command with --resume goes on from the last checkpoint, if there is one'
    less = 'a smaller batch_size or crop_size, fewer num_workers, --amp or FusedUpsamplingHook'
    with one_line_errors(way_on, less), one_line_file_errors(), harmless_loads():
        build_runner(parse_args()).train()
    leave_cpu_launch()


if __name__ == '__main__':
    main()
