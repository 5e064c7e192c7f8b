"""The commands of a trial, which run the same tools as users do."""

import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from mmengine.config import Config

from mmseg_imbalance.utils.run_config import load_config
from mmseg_imbalance.utils.shipped import config_path

from .plan import Trial

COST_ITERATIONS = 60
"""Length of trainings that only measure the cost."""


def head_options(options: dict[str, object], cfg: Config) -> dict[str, object]:
    """Expands ``head.`` to the decode head and, if there is one, the auxiliary head."""
    heads = [key for key in ('decode_head', 'auxiliary_head') if cfg.model.get(key)]
    expanded = {}
    for key, value in options.items():
        first, _, rest = key.partition('.')
        keys = [f'model.{head}.{rest}' for head in heads] if first == 'head' else [key]
        expanded |= dict.fromkeys(keys, value)
    return expanded


def trial_config(trial: Trial) -> Config:
    """Returns the shipped config of a trial, with its options."""
    path = config_path(trial.config)
    return load_config(path, head_options(trial.options, load_config(path)))


def stage_options(trial: Trial, cfg: Config) -> dict[str, object]:
    """Returns the options for length, logs and checkpoints that a trial's stage sets.

    Args:
        trial: The trial.
        cfg: Its config so far.
    """
    if trial.stage == 'cost':
        return {
            'train_cfg.max_iters': COST_ITERATIONS,
            'train_cfg.val_begin': 2 * COST_ITERATIONS,  # no validation, not even at the end
            'default_hooks.logger.interval': 1,
            'log_processor.window_size': 1,  # logs the time of every single iteration
            'default_hooks.checkpoint.interval': 2 * COST_ITERATIONS,
            'default_hooks.checkpoint.save_last': False,
        }
    length = cfg.train_cfg.max_iters
    return {
        'train_cfg.val_interval': length,  # the last checkpoint is scored, not the best
        'default_hooks.logger.interval': max(length // 20, 1),
        'default_hooks.checkpoint.interval': max(length // 4, 1),
        'default_hooks.checkpoint.max_keep_ckpts': 2,  # one exists while the other is written
    }


def command(script: Path | str, *arguments: Path | str, gpus: int = 1) -> list[str]:
    """Returns the command that runs ``tools/train.py`` or ``tools/test.py``.

    Args:
        script: Path of the tool.
        arguments: Its arguments.
        gpus: Number of processes; a launcher starts them if there is more than one.
    """
    launcher, launched = [], []
    if gpus > 1:
        launcher = ['-m', 'torch.distributed.run', '--standalone', f'--nproc-per-node={gpus}']
        launched = ['--launcher', 'pytorch']
    return [sys.executable, *launcher, str(script), *map(str, arguments), *launched]


def shown_command(trial: Trial, cfg: Config) -> str:
    """Returns the training command of a trial as a reader would type it in a checkout.

    Args:
        trial: The trial.
        cfg: A config with the same heads as the trial's.
    """
    options = {**head_options(trial.options, cfg), 'randomness.seed': trial.seed}
    words = ['python tools/train.py', f'configs/{trial.config}']
    if trial.gpus > 1:
        words = ['bash tools/dist_train.sh', words[1], str(trial.gpus)]
    words += ['--amp'] * trial.amp
    shown = dict(_in_words(options))
    for key in [key for key, value in shown.items() if '{' in value]:
        words.insert(0, f'# with {key}={shown.pop(key)} in the config:\n')
    return ' '.join([*words, '--cfg-options', *(shlex.quote(f'{k}={v}') for k, v in shown.items())])


def _in_words(options: Mapping[str, object], prefix: str = '') -> Iterator[tuple[str, str]]:
    """Yields keys and values as ``--cfg-options`` takes them, which knows no dicts."""
    for key, value in options.items():
        if isinstance(value, Mapping):
            yield from _in_words(value, f'{prefix}{key}.')
        else:
            spaces = isinstance(value, list | tuple)
            yield f'{prefix}{key}', str(value).replace(' ', '') if spaces else str(value)
