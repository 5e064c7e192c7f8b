"""Trains one network with three losses on procedural long-tailed streets and compares them."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from mmseg_imbalance.utils.command_line import run_tool
from mmseg_imbalance.utils.errors import ToolError
from mmseg_imbalance.utils.laboratory import find_lab
from mmseg_imbalance.utils.shipped import config_path

find_lab(__file__)

from lab.claim import claim  # noqa: E402
from lab.study.live_log import latest_loss  # noqa: E402
from lab.study.predictions_report import compare_predictions  # noqa: E402
from lab.study.process import run_process  # noqa: E402

TOOLS = Path(__file__).resolve().parent
# Threads that wait by spinning slow a training down tenfold where a core is busy otherwise.
ENVIRONMENT = {'OMP_WAIT_POLICY': 'PASSIVE', **os.environ}
SETTING = 'deeplabv3-r18-d8_1xb8-800_toy-streets-128x256.py'
CONFIGS = {
    'cross-entropy': f'cross_entropy/ce_{SETTING}',
    'loss max-pooling': f'loss_max_pooling/lmp_{SETTING}',
    'recall loss': f'recall_loss/recall_{SETTING}',
}

ABBREVIATIONS = {'cross-entropy': 'CE', 'loss max-pooling': 'LMP', 'recall loss': 'RL'}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__ + ' An interrupted demo goes on where it was.',
        epilog='example: python tools/demo.py --work-dir work_dirs/demo',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument('--work-dir', default='work_dirs/demo', help='logs, weights and the report')
    parser.add_argument('--data-root', default='data/toy_streets', help='where the images go')
    parser.add_argument('--train', type=int, default=300, help='number of training images')
    parser.add_argument('--val', type=int, default=60, help='number of validation images')
    parser.add_argument('--iters', type=int, help='stop the training early, for a quick look')
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    work_dir = Path(args.work_dir)
    started = time.monotonic()
    recipe = dict(train=args.train, val=args.val, iters=args.iters, configs=CONFIGS)
    found = claim(work_dir / 'recipe.json', recipe)
    if found != recipe:
        raise ToolError(
            f'{work_dir} holds another demo, {json.dumps(found)}; delete it or choose another '
            f'--work-dir for {json.dumps(recipe)}'
        )
    run(
        [TOOLS / 'dataset_converters/toy_streets.py', args.data_root]
        + ['--train', str(args.train), '--val', str(args.val)]
    )
    predictions = {}
    with Progress(
        TextColumn('{task.description:24}'),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn('{task.fields[loss]}'),
        speed_estimate_period=120,
    ) as progress:
        for name, config in CONFIGS.items():
            folder = work_dir / name.replace(' ', '_')
            cfg = Config.fromfile(config_path(config))
            cfg.merge_from_dict(options(cfg, args))
            train(name, config, cfg, folder, args, progress)
            predictions[name] = test(name, config, cfg, folder, args, progress)

    init_default_scope('mmseg')
    dataset = DATASETS.build(dict(cfg.val_dataloader.dataset, pipeline=cfg.test_pipeline[:-1]))
    preamble = (
        f'{args.train} training and {args.val} validation images of procedural streets; '
        f'DeepLabV3-R18 with a quarter of the channels, from scratch, '
        f'{cfg.train_cfg.max_iters} iterations of {cfg.train_dataloader.batch_size} images, '
        'the same seed for all losses. In percent; the means are mIoU and mean accuracy.\n'
    )
    table = compare_predictions(dataset, predictions, work_dir, preamble=preamble)
    print_narrow(table)
    minutes = (time.monotonic() - started) / 60
    print(f'{minutes:.1f} minutes; written: {work_dir}/report.md and {work_dir}/report.png')
    return 0


def print_narrow(table: str) -> None:
    """Prints the table with abbreviated names, to fit a terminal of 80 columns."""
    table = table.replace('pixels %', '%')
    for name, short in ABBREVIATIONS.items():
        table = table.replace(name, short)
    legend = ', '.join(f'{short}: {name}' for name, short in ABBREVIATIONS.items())
    Console().print(Markdown(table), f'in percent; {legend}')


def options(cfg: Config, args: argparse.Namespace) -> dict:
    """What the arguments change in a shipped config."""
    iters = args.iters or cfg.train_cfg.max_iters
    return {
        **{f'{stage}_dataloader.dataset.data_root': args.data_root for stage in ('train', 'val')},
        'test_dataloader.dataset.data_root': args.data_root,
        'train_cfg.max_iters': iters,
        'train_cfg.val_interval': iters,
        'default_hooks.checkpoint.interval': max(iters // 4, 1),
    }


def train(name, config, cfg, folder: Path, args, progress: Progress) -> None:
    """Trains with tools/train.py, or goes on from the last checkpoint."""
    iters = cfg.train_cfg.max_iters
    task = progress.add_task(f'train {name}', total=iters, loss='')
    if last_iteration(folder) < iters:
        command = [TOOLS / 'train.py', config_path(config), '--work-dir', folder, '--resume']
        with_options = [*command, '--cfg-options', *flags(options(cfg, args))]

        def watch() -> bool:
            logged = latest_loss(folder)
            if logged:
                progress.update(task, completed=logged['step'], loss=f'loss {logged["loss"]:.3f}')
            return True

        run_tool_process(with_options, folder / 'train.out', watch)
    progress.update(task, completed=iters)


def test(name, config, cfg, folder: Path, args, progress: Progress) -> Path:
    """Predicts the validation images with tools/test.py."""
    task = progress.add_task(f'test {name}', total=args.val, loss='')
    out = folder / 'predictions'
    shutil.rmtree(out, ignore_errors=True)
    checkpoint = (folder / 'last_checkpoint').read_text().strip()
    command = [TOOLS / 'test.py', config_path(config), checkpoint, '--work-dir', folder]
    with_options = [*command, '--out', out, '--cfg-options', *flags(options(cfg, args))]

    def watch() -> bool:
        progress.update(task, completed=sum(1 for _ in out.rglob('*.png')))
        return True

    run_tool_process(with_options, folder / 'test.out', watch)
    progress.update(task, completed=args.val)
    return out


def flags(settings: dict) -> list[str]:
    return [f'{key}={value}' for key, value in settings.items()]


def last_iteration(folder: Path) -> int:
    """The iteration of the last complete checkpoint, 0 without one."""
    last = folder / 'last_checkpoint'
    return int(Path(last.read_text()).stem.split('_')[-1]) if last.is_file() else 0


def run_tool_process(command: list, log: Path, watch: Callable[[], bool]) -> None:
    """Runs a tool with its output in a file, until it has ended well."""
    run_process([sys.executable, *map(str, command)], log, ENVIRONMENT, watch)


def run(command: list) -> None:
    done = subprocess.run([sys.executable, *map(str, command)])
    if done.returncode:
        raise ToolError(f'{Path(command[0]).name} failed', done.returncode)


if __name__ == '__main__':
    raise SystemExit(run_tool(main))
