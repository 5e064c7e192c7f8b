"""The commands of a trial: the tools that users have."""

import sys
from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config

from .plan import Trial

COST_ITERATIONS = 60
"""Length of the trainings that are there for their cost alone."""


def head_options(options: dict[str, object], cfg: Config) -> dict[str, object]:
    """Writes out ``head.`` for the decode head and, if there is one, the auxiliary head."""
    heads = [key for key in ('decode_head', 'auxiliary_head') if cfg.model.get(key)]
    expanded = {}
    for key, value in options.items():
        first, _, rest = key.partition('.')
        keys = [f'model.{head}.{rest}' for head in heads] if first == 'head' else [key]
        expanded |= dict.fromkeys(keys, value)
    return expanded


def stage_options(trial: Trial, cfg: Config) -> dict[str, object]:
    """What the stage of a trial changes in how long it takes and in what is logged and kept."""
    if trial.stage == 'cost':
        return {
            'train_cfg.max_iters': COST_ITERATIONS,
            'train_cfg.val_begin': 2 * COST_ITERATIONS,  # not at the end either
            'default_hooks.logger.interval': 10,
            'default_hooks.checkpoint.interval': 2 * COST_ITERATIONS,
            'default_hooks.checkpoint.save_last': False,
        }
    length = trial.options.get('train_cfg.max_iters', cfg.train_cfg.max_iters)
    return {
        'train_cfg.val_interval': length,  # the last checkpoint is scored, not the best
        'default_hooks.logger.interval': max(length // 20, 1),
        'default_hooks.checkpoint.interval': max(length // 4, 1),
        'default_hooks.checkpoint.max_keep_ckpts': 1,
    }


def command(script: Path | str, arguments: list, options: dict, gpus: int = 1) -> list[str]:
    """What runs ``tools/train.py`` or ``tools/test.py``, with one process per GPU.

    Args:
        script: Path of the tool.
        arguments: Its arguments but for the config's options.
        options: Those, by dotted key.
        gpus: Number of processes.
    """
    launcher, launched = [], []
    if gpus > 1:
        launcher = ['-m', 'torch.distributed.run', '--standalone', f'--nproc-per-node={gpus}']
        launched = ['--launcher', 'pytorch']
    cfg_options = ['--cfg-options', *flags(options)]
    return [sys.executable, *launcher, str(script), *map(str, arguments), *launched, *cfg_options]


def shown_command(trial: Trial, cfg: Config, amp: bool, gpus: int = 1) -> str:
    """The training of a trial as a reader would type it in a checkout."""
    options = {**head_options(trial.options, cfg), 'randomness.seed': trial.seed}
    config = f'configs/{trial.config}'
    tool = (
        f'bash tools/dist_train.sh {config} {gpus}'
        if gpus > 1
        else f'python tools/train.py {config}'
    )
    return ' '.join([tool, *['--amp'] * amp, '--cfg-options', *flags(options)])


def flags(options: dict[str, object]) -> Iterator[str]:
    """Options as ``--cfg-options`` takes them."""
    for key, value in options.items():
        yield f'{key}={value}'.replace(' ', '')
