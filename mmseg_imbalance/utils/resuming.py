"""Where a training goes on after it was stopped, in whatever way."""

from numbers import Integral
from pathlib import Path

from mmengine.config import Config

from .checkpoints import TRUST, CheckpointError, DamagedCheckpointError, read_checkpoint, trusted


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
    if any(Path(cfg.work_dir).glob('*.pth')):
        raise CheckpointError(
            f'{pointer} is missing beside checkpoints; {_way_out(cfg)}, after moving them elsewhere'
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
        CheckpointError: It is damaged; or as :func:`check_parts` does.
    """
    try:
        checkpoint = read_checkpoint(path)
    except DamagedCheckpointError as error:
        raise CheckpointError(f'{error}; {_way_out(cfg)}') from error
    check_parts(checkpoint, path, cfg)
    return checkpoint


def check_parts(checkpoint: dict, path: str, cfg: Config) -> None:
    """Makes sure that a training can go on from a checkpoint that was loaded.

    Args:
        checkpoint: What it holds.
        path: Its file or URL, for errors.
        cfg: The run's config.

    Raises:
        CheckpointError: It lacks what a training needs to go on, or it holds what MMEngine would
            run as code.
    """
    lacking = _lacking(checkpoint, cfg)
    if lacking:
        raise CheckpointError(
            f'checkpoint {path} holds no {" and no ".join(lacking)}, as one of the best scores or '
            f'of weights alone; {_way_out(cfg)}, or start with its weights: no --resume, and '
            f'--cfg-options load_from={path}'
        )
    if _runs_code(checkpoint):
        raise CheckpointError(
            f'checkpoint {path} holds meta.config, which MMEngine would run as Python; if you '
            f'trust where the file comes from, set the environment variable {TRUST}=1'
        )


def _runs_code(checkpoint: dict) -> bool:
    """Whether MMEngine would run a config in it that nobody trusts."""
    return 'config' in checkpoint['meta'] and not trusted()


def _way_out(cfg: Config) -> str:
    """What to do without the checkpoint that was wanted."""
    return (
        f'go on from another checkpoint in {cfg.work_dir} with --resume --cfg-options '
        'load_from=FILE, or train anew, without --resume'
    )


def _lacking(checkpoint: dict, cfg: Config) -> list[str]:
    """Which parts that MMEngine resumes are missing; it goes on without some of them, silently."""
    if not isinstance(checkpoint, dict):  # from a URL, it can be anything
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
    """Whether it is the state of an optimizer, or of several by name."""
    states = [found] if 'param_groups' in found else list(found.values())
    return bool(states) and all(
        isinstance(state, dict) and {'state', 'param_groups'} <= state.keys() for state in states
    )
