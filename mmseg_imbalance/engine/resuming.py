"""Where a training goes on after it was stopped, in whatever way."""

import re
from pathlib import Path

from mmengine.config import Config

from .checkpoints import (
    TRUST,
    CheckpointError,
    DamagedCheckpointError,
    read_checkpoint,
    trusted,
)


def latest_checkpoint(cfg: Config) -> str | None:
    """The checkpoint that ``last_checkpoint`` in the work dir names.

    Args:
        cfg: The run's config; its work dir need not exist.

    Returns:
        Its path, None where there is neither such a file nor a checkpoint to go on from: MMEngine
        writes ``last_checkpoint`` after each checkpoint.

    Raises:
        CheckpointError: ``last_checkpoint`` names no file, or it is missing beside checkpoints,
            over which a training that is started anew would write.
    """
    pointer = Path(cfg.work_dir, 'last_checkpoint')
    if pointer.is_file():
        named = pointer.read_bytes().decode(errors='replace').strip()
        if named and named.isprintable():
            return named
        raise CheckpointError(f'{pointer} is damaged: it names no file; {_way_out(cfg)}')
    if _newest_good(cfg) is not None:
        raise CheckpointError(
            f'{pointer} is missing beside checkpoints; {_way_out(cfg)}, or move them elsewhere to '
            'start afresh'
        )
    return None


def check_resumable(path: str, cfg: Config) -> dict:
    """Reads the checkpoint that a training is to go on from.

    Args:
        path: The file.
        cfg: The run's config.

    Returns:
        The checkpoint.

    Raises:
        CheckpointError: It is damaged or lacks what a training needs to go on, in which case the
            message names the newest good one in the work dir, or it holds what could run code.
    """
    try:
        checkpoint = read_checkpoint(path)
    except DamagedCheckpointError as error:
        raise CheckpointError(f'{error}; {_way_out(cfg)}') from error
    lacking = _lacking(checkpoint, cfg)
    if lacking:
        raise CheckpointError(
            f'checkpoint {path} holds no {" and no ".join(lacking)}, as one of the best scores or '
            f'of weights alone; {_way_out(cfg)}, or start with its weights: no --resume, and '
            f'--cfg-options load_from={path}'
        )
    if 'config' in checkpoint['meta'] and not trusted():
        raise CheckpointError(
            f'checkpoint {path} holds meta.config, which MMEngine would run as Python; if you '
            f'trust where the file comes from, set the environment variable {TRUST}=1'
        )
    return checkpoint


def _way_out(cfg: Config) -> str:
    """What to do without the checkpoint that was wanted."""
    good = _newest_good(cfg)
    if good is None:
        return f'no other checkpoint in {cfg.work_dir} is good: train anew, without --resume'
    return (
        f'the newest good checkpoint is {good}: go on from it with '
        f'--resume --cfg-options load_from={good}'
    )


def _newest_good(cfg: Config) -> Path | None:
    """The newest checkpoint of the work dir that a training can go on from; None without one."""
    for path in sorted(Path(cfg.work_dir).glob('*.pth'), key=_age, reverse=True):
        try:
            if not _lacking(read_checkpoint(path), cfg):
                return path
        except CheckpointError:
            continue
    return None


def _lacking(checkpoint: dict, cfg: Config) -> list[str]:
    """Which parts that MMEngine resumes are missing; it goes on without some of them, silently."""
    parts = dict.fromkeys(('meta', 'state_dict', 'message_hub', 'optimizer'), dict)
    if cfg.get('param_scheduler'):
        parts['param_schedulers'] = dict | list
    return [name for name, kind in parts.items() if not isinstance(checkpoint.get(name), kind)]


def _age(path: Path) -> tuple[float, int]:
    """Time of change, and for files copied at once the number in the name."""
    numbers = re.findall(r'\d+', path.stem)
    # a link that leads nowhere has no time
    return path.stat().st_mtime if path.exists() else 0.0, int(numbers[-1]) if numbers else -1
