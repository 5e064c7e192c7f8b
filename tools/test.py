"""Scores a trained segmentor on its config's test data and can draw or save the predictions."""

import argparse

from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import RUNNERS

from mmseg_imbalance.hooks import ConsistencyHook
from mmseg_imbalance.utils.checkpoints import check_checkpoint, harmless_loads
from mmseg_imbalance.utils.command_line import one_line_errors
from mmseg_imbalance.utils.cpu_launch import leave_cpu_launch, prepare_cpu_launch
from mmseg_imbalance.utils.file_errors import one_line_file_errors
from mmseg_imbalance.utils.misfits import MisfitHook
from mmseg_imbalance.utils.run_config import (
    RunConfigError,
    add_run_arguments,
    check_data,
    inner_datasets,
    keep_training_config,
    load_run_config,
)

EXAMPLE = """example:
  python tools/test.py configs/recall_loss/recall_deeplabv3-r18-d16_1xb4-2k_camvid-240x320.py \\
      work_dirs/recall_camvid/iter_2000.pth --tta --show-dir work_dirs/recall_camvid/drawn
"""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_run_arguments(parser)
    parser.add_argument('checkpoint', help='checkpoint, a file or a URL')
    parser.add_argument(
        '--out',
        metavar='DIR',
        help='save the predictions as PNGs of class indices, named like the images',
    )
    parser.add_argument('--show', action='store_true', help='draw predictions in a window')
    parser.add_argument(
        '--show-dir',
        metavar='DIR',
        help='draw truth and prediction side by side into DIR/vis_data/vis_image '
        '(with several processes, only the images of rank 0)',
    )
    parser.add_argument(
        '--wait-time', type=float, default=2, help='seconds between images of --show (default: 2)'
    )
    parser.add_argument(
        '--tta', action='store_true', help="test-time augmentation with the config's tta_pipeline"
    )
    return parser.parse_args()


def draw_predictions(cfg: Config, args: argparse.Namespace) -> None:
    hook = cfg.get('default_hooks', {}).get('visualization')
    if hook is None or 'visualizer' not in cfg:
        raise RunConfigError(
            '--show and --show-dir need a visualizer and default_hooks.visualization in the '
            "config: dict(type='SegLocalVisualizer', …) and dict(type='SegVisualizationHook')"
        )
    # otherwise upstream MMSegmentation would draw every 50th test image only
    hook.update(draw=True, interval=1, show=args.show, wait_time=args.wait_time)
    if args.show_dir:
        cfg.visualizer.save_dir = args.show_dir


def augment_at_test_time(cfg: Config) -> None:
    for key in ('tta_model', 'tta_pipeline'):
        if key not in cfg:
            raise RunConfigError(f'--tta needs {key} in the config')
    heads = cfg.model.get('decode_head')
    head = heads[-1] if isinstance(heads, list) else heads or {}
    if head.get('out_channels') == 1:
        raise RunConfigError(
            '--tta would predict the foreground everywhere: MMSegmentation takes the sigmoid of '
            'one channel twice then; test without it, or train two channels (out_channels=2)'
        )
    for dataset in inner_datasets(cfg.test_dataloader.dataset):
        dataset.pipeline = cfg.tta_pipeline
    cfg.model = dict(cfg.tta_model, module=cfg.model)


def build_runner(args: argparse.Namespace) -> Runner:
    cfg = load_run_config(args)
    check_checkpoint(args.checkpoint)
    cfg.load_from = args.checkpoint
    cfg.resume = False  # True, as in the config of a resumed training, would build the training
    check_data(cfg, 'test')
    if args.show or args.show_dir:
        draw_predictions(cfg, args)
    if args.tta:
        augment_at_test_time(cfg)
    if args.out:
        writer = dict(type='PredictionWriterHook', out_dir=args.out)
        cfg.custom_hooks = [*(cfg.get('custom_hooks') or []), writer]
    prepare_cpu_launch(cfg)
    keep_training_config(cfg)
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    runner.register_hook(MisfitHook(args.checkpoint, training=False))
    if not any(isinstance(hook, ConsistencyHook) for hook in runner.hooks):
        runner.register_hook(ConsistencyHook())
    return runner


def main() -> None:
    way_on = 'there are no scores; predictions that were written so far are kept'
    less = 'smaller images in test_pipeline, or fewer num_workers'
    with one_line_errors(way_on, less), one_line_file_errors(), harmless_loads():
        build_runner(parse_args()).test()
    leave_cpu_launch()


if __name__ == '__main__':
    main()
