"""Runs all tests and measurements that need a GPU, in about ten minutes."""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from mmseg_imbalance.utils.command_line import run_tool
from mmseg_imbalance.utils.cores import usable_cores
from mmseg_imbalance.utils.errors import ToolError
from mmseg_imbalance.utils.files import write_atomically
from mmseg_imbalance.utils.laboratory import find_lab
from mmseg_imbalance.utils.machine import describe_machine
from mmseg_imbalance.utils.markdown import markdown_table

find_lab(__file__)

ROOT = Path(__file__).resolve().parents[1]
SHAPES = {'19-classes': '2 19 512 1024', '150-classes': '4 150 512 512'}
STREETS = [ROOT / 'tools/dataset_converters/toy_streets.py', ROOT / 'data/toy_streets']
CAMVID = 'deeplabv3-mobilenet-v2-d16_1xb4-1k_camvid-240x320.py'
TRAININGS = {'cityscapes': '--images 2 --size 512 1024', 'camvid': '--images 8 --size 240 320'}
EXAMPLE = """examples:
  python tools/gpu_check.py
  python tools/gpu_check.py --parts losses trainings --work-dir work_dirs/my_gpu

Parts: "tests" runs the tests marked gpu. "losses" measures time and memory of the losses (two
shapes, two dtypes). "trainings" measures time and memory of training steps. "amp" trains each
method for 200 iterations on toy streets in mixed precision, and "camvid" some of them for 1000 on
CamVid, if data/camvid is there, with MobileNetV2 from random weights. Every command has a time
limit. When it ends, the work dir has its output in NAME.log and its numbers, if any, in NAME.json.
The last lines are a short table of these numbers.
"""


def commands(folder: Path) -> dict[str, dict[str, tuple[int, list[str]]]]:
    """Returns the commands of each part by name, with their time limits in seconds."""
    analysis = ROOT / 'tools/analysis_tools'
    losses = {
        f'losses-{shape}-{dtype}': (150, [
            analysis / 'benchmark_losses.py', '--shape', *size.split(), '--dtype', dtype,
            '--json', folder / f'losses-{shape}-{dtype}.json',
        ])
        for dtype in ('float32', 'bfloat16')
        for shape, size in SHAPES.items()
    }  # fmt: skip
    trainings = {
        f'training-{data}-{dtype}': (120, [
            analysis / 'benchmark_training.py', *options.split(), '--dtype', dtype,
            '--json', folder / f'training-{data}-{dtype}.json',
        ])
        for data, options in TRAININGS.items()
        for dtype in ('float16', 'bfloat16')
    }  # fmt: skip
    amp = {
        f'amp-{dtype}-{config.name.partition("_")[0]}': (180, [
            ROOT / 'tools/train.py', config, '--amp', '--work-dir', folder / 'amp' / dtype /
            config.stem, '--cfg-options', f'optim_wrapper.dtype={dtype}', 'train_cfg.max_iters=200',
            'train_cfg.val_interval=200', 'train_dataloader.num_workers=1',
            'val_dataloader.num_workers=1',
        ])
        for config in sorted((ROOT / 'configs').glob('*/*_toy-streets-128x256.py'))
        for dtype in ('float16', 'bfloat16')
    }  # fmt: skip
    camvid = {
        f'camvid-{Path(method).name}': (240, [
            ROOT / 'tools/train.py', ROOT / f'configs/{method}_{CAMVID}', '--amp', '--work-dir',
            folder / 'camvid' / Path(method).name, '--cfg-options', 'model.backbone.init_cfg=None',
        ])
        for method in ('cross_entropy/ce', 'recall_loss/recall', 'loss_max_pooling/lmp',
                       'loss_max_pooling/lmp-lovasz')
        if (ROOT / 'data/camvid').is_dir()
    }  # fmt: skip
    # A plug-in for benchmarks, where there is one, would warn of tests in several processes.
    options = ['-q', '-m', 'gpu', '-n', str(min(8, usable_cores())), '-p', 'no:benchmark']
    tests = {'tests': (240, ['-m', 'pytest', ROOT / 'tests', *options])}
    return {'tests': tests, 'losses': losses, 'trainings': trainings, 'amp': amp, 'camvid': camvid}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = list(commands(Path()))
    parser.add_argument(
        '--parts', nargs='+', choices=parts, default=parts, metavar='PART',
        help=f'parts to run, out of {", ".join(parts)} (default: all)',
    )  # fmt: skip
    parser.add_argument(
        '--work-dir', type=Path, default=Path('work_dirs/gpu'), help='default: %(default)s'
    )
    return parser.parse_args()


def run(name: str, seconds: int, arguments: list, folder: Path) -> dict:
    """Runs a command and prints its outcome at once."""
    start = time.monotonic()
    with (folder / f'{name}.log').open('wb') as log:
        try:
            code = subprocess.run(
                [sys.executable, *map(str, arguments)], stdout=log, stderr=log, timeout=seconds,
                cwd=ROOT,
            ).returncode  # fmt: skip
        except subprocess.TimeoutExpired:
            code = None
    outcome = {0: 'passed', None: f'stopped after {seconds} s'}.get(code, f'failed ({code})')
    result = {'name': name, 'outcome': outcome, 'seconds': round(time.monotonic() - start, 1)}
    print(f'{name:35} {outcome:20} {result["seconds"]:6} s', flush=True)
    return result


def short_table(files: Iterable[Path]) -> str:
    """Compares LMP and recall loss with cross-entropy in the measurements of some files."""
    rows = []
    for file in files:
        report = json.loads(file.read_text())
        by_name = {row['name']: row for row in report.get('losses') or report['steps']}
        base = by_name['cross-entropy']
        time = 'device_seconds' if base['device_seconds'] else 'seconds'
        ratios = (
            f'{by_name[name][key] / base[key]:.2f}'
            for name in ('LMP', 'recall loss')
            for key in (time, 'peak_bytes')
        )
        rows.append([file.stem, f'{1e3 * base[time]:.2f} ms', *ratios])
    header = ['cross-entropy = 1', 'it takes', 'LMP: time', 'memory', 'recall loss: time', 'memory']
    return markdown_table(header, rows)


def main() -> int:
    args = parse_args()
    if not torch.cuda.is_available():
        raise ToolError('PyTorch finds no GPU here')
    folder = args.work_dir.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    machine = describe_machine(torch.device('cuda'))
    print(', '.join(f'{key} {value}' for key, value in machine.items()), flush=True)
    results = []
    for part, named in commands(folder).items():
        if part not in args.parts:
            continue
        if part == 'amp':
            results.append(run('toy-streets', 120, STREETS, folder))
        # Only the short trainings run at the same time, because their times do not matter.
        together = max(1, usable_cores() // 2) if part in ('amp', 'camvid') else 1
        with ThreadPoolExecutor(together) as pool:
            results += pool.map(lambda item: run(item[0], *item[1], folder), named.items())
        write_atomically(
            folder / 'results.json',
            json.dumps({'machine': machine, 'results': results}, indent=2).encode(),
        )
    passed = (folder / f'{r["name"]}.json' for r in results if r['outcome'] == 'passed')
    if measured := [file for file in passed if file.is_file()]:
        print(short_table(measured))
    failed = [result['name'] for result in results if result['outcome'] != 'passed']
    if failed:
        raise ToolError(f'not passed: {", ".join(failed)}; see their .log in {folder}', 1)
    return 0


if __name__ == '__main__':
    raise SystemExit(run_tool(main))
