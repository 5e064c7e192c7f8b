"""``python`` in the test of the documentation: runs the very command, only shorter.

``python short_python.py ARGUMENTS`` runs ``python ARGUMENTS`` with options appended that make a
tool draw fewer images, train for two iterations or, of a benchmark, only say what it trains. All
else in the command is as the page has it. The checkpoint that the full training would end with,
which pages name, becomes a link to the last one of the short training; under any other name there
is none.
"""

import inspect
import os
import runpy
import subprocess
import sys
from pathlib import Path

ITERATIONS = 2
NO_WORKERS = ('num_workers=0', 'persistent_workers=False')


def main(arguments: list[str]) -> int:
    at = next((i for i, a in enumerate(arguments) if a.endswith('.py')), None)
    tool = '' if at is None else '/'.join(Path(arguments[at]).parts[-2:])
    if tool == 'tools/train.py':
        return train(arguments, Path(arguments[at + 1]))
    return run(arguments + EXTRA.get(tool, []))


EXTRA = {
    'tools/study.py': ['--dry-run'],
    'dataset_converters/toy_streets.py': ['--train', '8', '--val', '3'],
    'analysis_tools/sampled_classes.py': ['--draws', '20'],
    'analysis_tools/benchmark_losses.py': [
        '--shape', '1', '3', '16', '32', '--repeats', '1', '--no-compile', '--no-others'
    ],
}  # fmt: skip


def train(arguments: list[str], config: Path) -> int:
    from mmengine.config import Config  # late: it takes a second

    cfg = Config.fromfile(config)
    work_dir = Path(value_of('--work-dir', arguments) or f'work_dirs/{config.stem}')
    last = work_dir / 'last_checkpoint'
    done = iteration(last) if '--resume' in arguments else 0
    meant = next(
        (int(a.partition('=')[2]) for a in arguments if a.startswith('train_cfg.max_iters=')),
        cfg.train_cfg.max_iters,
    )
    code = run(with_options(arguments, short_training(cfg, done + ITERATIONS)))
    if code == 0:
        expected = work_dir / f'iter_{meant}.pth'
        expected.unlink(missing_ok=True)
        expected.symlink_to(Path(last.read_text()).name)
    return code


def short_training(cfg, iterations: int) -> list[str]:
    options = {
        'train_cfg.max_iters': iterations,
        'train_cfg.val_interval': iterations,
        'default_hooks.checkpoint.interval': iterations,
        'default_hooks.logger.interval': 1,
        'train_dataloader.batch_size': 2,
    }
    for i, hook in enumerate(cfg.get('custom_hooks', [])):
        if has_interval(hook):
            options[f'custom_hooks.{i}.interval'] = 1
    workers = [
        f'{loader}.{option}'
        for loader in ('train_dataloader', 'val_dataloader')
        for option in NO_WORKERS
    ]
    return [f'{key}={value}' for key, value in options.items()] + workers


def has_interval(hook: dict) -> bool:
    from mmseg.registry import HOOKS

    import mmseg_imbalance  # noqa: F401

    return 'interval' in inspect.signature(HOOKS.get(hook['type'])).parameters


def with_options(arguments: list[str], options: list[str]) -> list[str]:
    """Appends to the values of --cfg-options: of two such flags argparse takes the last."""
    if '--cfg-options' not in arguments:
        return [*arguments, '--cfg-options', *options]
    end = arguments.index('--cfg-options') + 1
    while end < len(arguments) and not arguments[end].startswith('-'):
        end += 1
    return arguments[:end] + options + arguments[end:]


def value_of(flag: str, arguments: list[str]) -> str | None:
    return arguments[arguments.index(flag) + 1] if flag in arguments else None


def iteration(last: Path) -> int:
    return int(Path(last.read_text()).stem.split('_')[-1]) if last.is_file() else 0


def run(arguments: list[str]) -> int:
    """Runs a file in this process, which has imported what it needs, anything else in another."""
    if not arguments or not arguments[0].endswith('.py'):
        return subprocess.run([sys.executable, *arguments], env=os.environ).returncode
    from mmengine_in_tests import unformatted_configs  # late, as above

    sys.argv, sys.path[0] = arguments, str(Path(arguments[0]).parent)
    try:
        with unformatted_configs():
            runpy.run_path(arguments[0], run_name='__main__')
    except SystemExit as end:
        return end.code or 0
    return 0


if __name__ == '__main__':
    raise SystemExit(main(sys.argv[1:]))
