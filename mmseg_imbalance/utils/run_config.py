"""Building the config of a run from the arguments of a command-line tool."""

import argparse
import os
from pathlib import Path

from mmengine.config import Config, ConfigDict, DictAction
from mmengine.device import get_device

from .checkpoints import check_checkpoint
from .command_line import first_line
from .errors import ToolError
from .resuming import check_resumable, latest_checkpoint
from .settings import type_name

_OF_A_TEST = '_test'  # ends the names of the configs that tests leave in their work dirs


class RunConfigError(ToolError):
    """Raised if the requested run is impossible; the message says why, in one line."""


def add_config_arguments(parser: argparse.ArgumentParser, several: bool = False) -> None:
    """Adds the arguments for the config file and for overriding its entries.

    Args:
        parser: The tool's parser, changed in place.
        several: Whether the tool accepts several config files.
    """
    if several:
        parser.add_argument('config', nargs='+', help='config files, or work dirs of runs')
    else:
        parser.add_argument('config', help='config file')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        metavar='KEY=VALUE',
        help='override entries of the config, such as train_dataloader.batch_size=4; '
        'key="[a,b]" gives a list, key="[(a,b),(c,d)]" a list of tuples (no spaces)',
    )


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that all kinds of runs share.

    Args:
        parser: The tool's parser, changed in place.
    """
    add_config_arguments(parser)
    parser.add_argument(
        '--work-dir',
        help="folder of logs, scores and checkpoints (default: the config's own, "
        'or work_dirs/<config name>)',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='what started the processes of a distributed run (default: none)',
    )
    # Old launchers pass the rank as an argument; torchrun sets the environment variable.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def load_config(path: str | Path, options: dict | None = None) -> Config:
    """Loads a config file and overrides some of its entries.

    Args:
        path: The file.
        options: New values by dotted key.

    Raises:
        RunConfigError: If the file or one of its bases is missing, if it is not a config, or if an
            option does not fit it.
    """
    path = Path(path)
    if not path.is_file():
        raise RunConfigError(f'config file not found: {path}')
    try:
        cfg = Config.fromfile(path)
        cfg.merge_from_dict(options or {})
    except Exception as error:  # a config is Python and may raise anything
        raise RunConfigError(f'cannot load config {path}: {_reason(error)}') from error
    return cfg


def _reason(error: BaseException) -> str:
    """Returns an error's first line; of failed `custom_imports`, that of the import that failed."""
    if isinstance(error, ImportError) and str(error).startswith('Failed to import custom modules'):
        while error.__cause__ or error.__context__:
            error = error.__cause__ or error.__context__
    return first_line(error)


def load_run_config(args: argparse.Namespace) -> Config:
    """Loads the config file and applies the arguments of :func:`add_run_arguments`.

    Args:
        args: The parsed arguments.

    Raises:
        RunConfigError: As in :func:`load_config`.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = load_config(args.config, args.cfg_options)
    cfg.launcher = args.launcher
    cfg.work_dir = args.work_dir or work_dir_of(cfg, args.config)
    return cfg


def work_dir_of(cfg: Config, path: str | Path) -> str:
    """Returns the config's own work dir or, without one, ``work_dirs/<name of its file>``."""
    return cfg.get('work_dir') or str(Path('work_dirs', Path(path).stem))


def set_start(cfg: Config, args: argparse.Namespace) -> str | None:
    """Selects and checks the checkpoint that a training starts from.

    With ``--resume`` or with ``resume=True`` in the config, the training resumes from the
    checkpoint in ``load_from``, else from the latest one in the work dir; without either, it starts
    afresh. With ``--resume``, only a ``load_from`` on the command line counts. If the config sets
    no seed, it gets the checkpoint's: MMEngine would restore it too late for the data sampler.

    Args:
        cfg: The run's config, changed in place.
        args: The parsed arguments, with ``resume``.

    Returns:
        The checkpoint that the training resumes from, None if it starts afresh.

    Raises:
        CheckpointError: If the checkpoint is missing, damaged or unsuitable for resuming.
    """
    if isinstance(cfg.get('resume'), str):  # a checkpoint, for MMEngine's FlexibleRunner
        if not (args.resume or args.cfg_options.get('load_from')):
            cfg.load_from = cfg.resume
        cfg.resume = True
    start = cfg.get('load_from')
    if args.resume or cfg.get('resume'):
        named = args.cfg_options.get('load_from') if args.resume else start
        latest = None if named else latest_checkpoint(cfg)
        cfg.resume = bool(named or latest)
        if latest:
            cfg.load_from, start = None, latest  # MMEngine finds the latest one itself
    if not cfg.get('resume'):
        if start:
            check_checkpoint(start)
        return None
    if '://' not in start:
        checkpoint = check_resumable(start, cfg)
        randomness = cfg.get('randomness') or {}
        if randomness.get('seed') is None:
            cfg.randomness = dict(randomness, seed=checkpoint['meta'].get('seed'))
    return start


def newest_config(work_dir: Path) -> Path | None:
    """Finds the config of the newest training in a work dir, as MMEngine dumped it.

    Returns:
        Its path, None without one. The file has the name of the user's config, unless a test in
        the same folder has overwritten that one.
    """
    configs = (path for path in work_dir.glob('*.py') if not path.stem.endswith(_OF_A_TEST))
    named = max(configs, key=lambda path: path.stat().st_mtime, default=None)
    logs = sorted(work_dir.glob('*/vis_data/scalars.json'))  # of trainings; tests log no scalars
    trained = logs[-1].with_name('config.py') if logs else None
    if trained is None or not trained.is_file():
        return named
    return named if named and named.read_bytes() == trained.read_bytes() else trained


def keep_training_config(cfg: Config) -> None:
    """Lets MMEngine dump the config of a test under another name than that of the training.

    Their work dir is often the same, and the training's config may be the one that was given.
    """
    path = Path(cfg.filename)
    object.__setattr__(cfg, '_filename', str(path.with_stem(path.stem + _OF_A_TEST)))


def inner_datasets(dataset: ConfigDict) -> list[ConfigDict]:
    """Returns the configs of the data sets inside wrappers such as ``ConcatDataset``."""
    parts = [*(dataset.get('datasets') or []), dataset.get('dataset')]
    wrapped = [part for part in parts if isinstance(part, dict)]  # others may have such arguments
    return [inner for part in wrapped for inner in inner_datasets(part)] or [dataset]


def check_data(cfg: Config, *stages: str) -> None:
    """Checks that the data exist before a model is built.

    Args:
        cfg: The run's config.
        *stages: ``'train'``, ``'val'``, ``'test'``.

    Raises:
        RunConfigError: If the config has no such data set, or its image folder, label folder or
            list of files is missing.
    """
    for stage in stages:
        loader = cfg.get(f'{stage}_dataloader')
        if not loader:
            raise RunConfigError(f'{cfg.filename} has no {stage}_dataloader')
        for dataset in inner_datasets(loader.get('dataset', {})):
            _check_paths(dataset, stage)


def _check_paths(dataset: ConfigDict, stage: str) -> None:
    if (dataset.get('backend_args') or {}).get('backend', 'local') != 'local':
        return  # only the backend knows where the data are
    prefix = dataset.get('data_prefix', {})
    for key, name in (
        ('data_prefix.img_path', prefix.get('img_path')),
        ('data_prefix.seg_map_path', prefix.get('seg_map_path')),
        ('ann_file', dataset.get('ann_file')),
    ):
        path = os.path.join(dataset.get('data_root') or '', name or '')
        if name and '://' not in path and not os.path.exists(path):
            raise RunConfigError(
                f'data not found: {path} (prepare the data, or point data_root and {key} of '
                f'{stage}_dataloader.dataset elsewhere with --cfg-options)'
            )


def enable_amp(cfg: Config) -> None:
    """Turns on mixed precision: float16 with loss scaling on an accelerator, bfloat16 on a CPU.

    Args:
        cfg: The run's config, changed in place.

    Raises:
        RunConfigError: If the config's type of optimizer wrapper has no such counterpart.
    """
    wrapper = cfg.optim_wrapper
    kind = type_name(wrapper.get('type', 'OptimWrapper'))
    if kind not in ('OptimWrapper', 'AmpOptimWrapper', 'BFloat16OptimWrapper'):
        raise RunConfigError(f"--amp needs optim_wrapper.type='OptimWrapper', found {kind!r}")
    if get_device() == 'cpu':
        wrapper.type = 'BFloat16OptimWrapper'
        for key in ('loss_scale', 'dtype'):  # only AmpOptimWrapper takes them
            wrapper.pop(key, None)
    elif kind == 'OptimWrapper':
        wrapper.type = 'AmpOptimWrapper'
        wrapper.setdefault('loss_scale', 'dynamic')
