"""Selection and checks of the checkpoint that a training resumes from."""

from numbers import Integral
from pathlib import Path

from mmengine.config import Config

from .checkpoints import TRUST, CheckpointError, DamagedCheckpointError, read_checkpoint, trusted


def latest_checkpoint(cfg: Config) -> str | None:
    """Returns the checkpoint that ``last_checkpoint`` in the work dir names.

    Args:
        cfg: The run's config; its work dir need not exist.

    Returns:
        The path. None if neither ``last_checkpoint``, which MMEngine writes after each checkpoint,
        nor a checkpoint exists.

    Raises:
        CheckpointError: If ``last_checkpoint`` names no file, or if it is missing although there
            are checkpoints, which a new training would overwrite.
    """
    pointer = Path(cfg.work_dir, 'last_checkpoint')
    if pointer.is_file():
        named = pointer.read_bytes().decode(errors='replace').strip()
        if named and named.isprintable():
            return named
        raise CheckpointError(f'{pointer} is damaged: it names no file; {_way_out(cfg)}')
    # those of the best scores cannot be resumed, and may be all that a training has left so far
    if any(not path.name.startswith('best_') for path in Path(cfg.work_dir).glob('*.pth')):
        raise CheckpointError(
            f'{pointer} is missing beside checkpoints; {_way_out(cfg)}, after moving them elsewhere'
        )
    return None


def check_resumable(path: str, cfg: Config) -> dict:
    """Reads and checks the checkpoint that a training is to resume from.

    Args:
        path: The file.
        cfg: The run's config.

    Returns:
        The checkpoint.

    Raises:
        CheckpointError: If the checkpoint is damaged. Also as in :func:`check_parts`.
    """
    try:
        checkpoint = read_checkpoint(path)
    except DamagedCheckpointError as error:
        raise CheckpointError(f'{error}; {_way_out(cfg)}') from error
    check_parts(checkpoint, path, cfg)
    return checkpoint


def check_parts(checkpoint: dict, path: str, cfg: Config) -> None:
    """Checks that a training can resume from a loaded checkpoint.

    Args:
        checkpoint: Content of the checkpoint.
        path: File or URL of the checkpoint, for errors.
        cfg: The run's config.

    Raises:
        CheckpointError: If the checkpoint lacks parts that resuming needs, or holds a config that
            MMEngine would run as code.
    """
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


def _way_out(cfg: Config) -> str:
    """Says in words what to do if the wanted checkpoint cannot be used."""
    return (
        f'go on from another checkpoint in {cfg.work_dir} with --resume --cfg-options '
        'load_from=FILE, or train anew, without --resume'
    )


def _lacking(checkpoint: dict, cfg: Config) -> list[str]:
    """Lists missing parts that MMEngine resumes; without some of them it would go on silently."""
    if not isinstance(checkpoint, dict):  # a file from a URL can hold anything
        return ['state_dict']
    kinds = dict.fromkeys(('meta', 'state_dict', 'message_hub', 'optimizer'), dict)
    if cfg.get('param_scheduler'):
        kinds['param_schedulers'] = dict | list
    lacking = [name for name, kind in kinds.items() if not isinstance(checkpoint.get(name), kind)]
    if 'meta' not in lacking:
        counts = {f'meta.{name}': checkpoint['meta'].get(name) for name in ('iter', 'epoch')}
        lacking += [name for name, count in counts.items() if not isinstance(count, Integral)]
    if 'optimizer' not in lacking and not _is_optimizer_state(checkpoint['optimizer']):
        lacking.append('optimizer')
    return lacking


def _is_optimizer_state(found: dict) -> bool:
    """Whether this is the state of one optimizer, or of several optimizers by name."""
    states = [found] if 'param_groups' in found else list(found.values())
    return bool(states) and all(
        isinstance(state, dict) and {'state', 'param_groups'} <= state.keys() for state in states
    )
