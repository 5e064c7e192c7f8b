"""A hook that describes a training and its results in one file."""

import json
import logging
import math
from collections.abc import Mapping
from pathlib import Path

import mmcv
import mmengine
import mmseg
import numpy as np
from mmengine.dist import broadcast_object_list, get_world_size, is_main_process
from mmengine.hooks import Hook
from mmseg.registry import HOOKS

from ..utils.files import write_atomically
from ..utils.machine import describe_machine
from ..version import __version__

FILE_NAME = 'run.json'
_POINTS = 100  # maximum number of points of a loss curve
_RUN_ID = 'run_id'  # in MMEngine's message hub, which checkpoints hold


@HOOKS.register_module()
class RunSummaryHook(Hook):
    """Writes ``run.json`` into the work dir, so that tools can compare trainings.

    The file is replaced when the training starts, after every validation, and at the end. A
    resumed training continues the file of the run that its checkpoint comes from; entries after
    the checkpoint are dropped. If a training would end without a final validation, for example
    because it was stopped between its last checkpoint and the validation, it is validated then.

    ``run.json`` is an object with these keys, where non-finite numbers are null:

    - ``config``: name of the config file without suffix; ``settings``: the whole config; ``seed``;
      ``load_from``: the checkpoint that the run started with.
    - ``versions``: device, Python, PyTorch, the stack and this package; ``processes``: the world
      sizes of the run, without repetition.
    - ``unit``: ``'iteration'`` or ``'epoch'``; ``length``: of the training in this unit;
      ``reached``: the position when the file was written; ``finished``: whether the training ended.
    - ``curves``: lists of [position, value]. ``loss`` has means over equal stretches of the
      training, with positions in iterations. The validation curves (``mIoU`` and so on, in percent)
      have positions in ``unit``.
    - ``scores``: of the last validation, null before the first: ``reached``, ``means`` and
      ``classes``, the rows of :meth:`Scores.rows`, empty without :class:`ImbalanceMetric`.
    """

    priority = 'VERY_LOW'  # after CheckpointHook, which by then has saved what this notes

    def __init__(self) -> None:
        self._summary: dict | None = None  # of a training, else None

    def before_train(self, runner) -> None:
        """Describes a new run, or continues the description of a resumed one."""
        resumed = runner.iter > 0
        hub = runner.message_hub
        run_id = hub.get_info(_RUN_ID) if resumed else None
        earlier = [_read(runner, run_id) if run_id and is_main_process() else None]
        broadcast_object_list(earlier)
        self._summary = _describe(runner, resumed) | {'run_id': run_id or runner.experiment_name}
        hub.update_info(_RUN_ID, self._summary['run_id'])
        if earlier[0]:
            _go_on(self._summary, earlier[0], _position(runner, self._summary))
        self._write(runner)

    def after_val_epoch(self, runner, metrics: dict[str, float] | None = None) -> None:
        """Records the scores of a validation during a training."""
        if self._summary is None:  # validation without a training
            return
        position = _position(runner, self._summary)
        means = {key: _number(value) for key, value in (metrics or {}).items()}
        for key, value in means.items():
            self._summary['curves'].setdefault(key, []).append([position, value])
        self._summary['scores'] = {
            'reached': position,
            'means': means,
            'classes': _class_rows(runner),
        }
        self._write(runner)

    def after_train(self, runner) -> None:
        """Validates the final model if that has not been done, and records the training's end."""
        position, scores = _position(runner, self._summary), self._summary['scores']
        wanted = runner.val_loop is not None and position >= runner.train_loop.val_begin
        if wanted and (scores is None or scores['reached'] < position):
            runner.message_hub.update_info('iter', runner.iter - 1)  # the last one, counted from 0
            runner.val_loop.run()
        self._summary['finished'] = True
        self._write(runner)

    def _write(self, runner) -> None:
        if not is_main_process():
            return
        self._summary['reached'] = _position(runner, self._summary)
        self._summary['curves']['loss'] = _loss_curve(runner)
        text = json.dumps(self._summary, ensure_ascii=False, allow_nan=False, indent=1)
        try:
            write_atomically(Path(runner.work_dir, FILE_NAME), (text + '\n').encode())
        except OSError as error:  # a full disk must not end a training
            runner.logger.log(logging.WARNING, f'RunSummaryHook wrote no {FILE_NAME}: {error}')


def _describe(runner, resumed: bool) -> dict:
    cfg, by_epoch = runner.cfg, 'max_epochs' in (runner.cfg.get('train_cfg') or {})
    device = next(runner.model.parameters()).device
    libraries = {library.__name__: library.__version__ for library in (mmengine, mmcv, mmseg)}
    return {
        'config': Path(cfg.filename).stem if cfg.filename else '',
        'settings': _plain(cfg.to_dict()),
        'seed': runner.seed,
        'load_from': None if resumed else cfg.get('load_from'),
        'versions': describe_machine(device) | libraries | {'mmseg_imbalance': __version__},
        'processes': [get_world_size()],
        'unit': 'epoch' if by_epoch else 'iteration',
        'length': runner.max_epochs if by_epoch else runner.max_iters,
        'reached': 0,
        'finished': False,
        'curves': {'loss': []},
        'scores': None,
    }


def _read(runner, run_id: str) -> dict | None:
    """Returns the content of ``run.json``, None if it is unreadable or of another run."""
    try:
        summary = json.loads(Path(runner.work_dir, FILE_NAME).read_bytes())
        return summary if summary['run_id'] == run_id else None
    except (OSError, ValueError, LookupError, TypeError):
        runner.logger.log(
            logging.WARNING, f'{runner.work_dir} has no readable {FILE_NAME}: starting a new one'
        )
        return None


def _go_on(summary: dict, earlier: dict, position: int) -> None:
    """Copies the entries up to the checkpoint from the earlier summary."""
    summary['load_from'] = earlier['load_from']
    summary['processes'] = list(dict.fromkeys(earlier['processes'] + summary['processes']))
    for name, points in earlier['curves'].items():
        summary['curves'][name] = [point for point in points if point[0] <= position]
    scores = earlier['scores']
    if scores and scores['classes'] and scores['reached'] <= position:
        summary['scores'] = scores


def _position(runner, summary: dict) -> int:
    return runner.epoch if summary['unit'] == 'epoch' else runner.iter


def _class_rows(runner) -> list[dict]:
    metrics = runner.val_evaluator.metrics
    return next((m.scores.rows() for m in metrics if getattr(m, 'scores', None)), [])


def _loss_curve(runner) -> list[list]:
    """Returns the loss curve from MMEngine's history of the loss, which checkpoints hold."""
    hub = runner.message_hub
    if 'train/loss' not in hub.log_scalars:
        return []
    losses = hub.get_scalar('train/loss').data[0]
    first, stretch = runner.iter - len(losses), -(-len(losses) // _POINTS)
    ends = range(stretch, len(losses) + 1, stretch)
    return [[first + end, _number(np.mean(losses[end - stretch : end]))] for end in ends]


def _number(value: float) -> float | None:
    value = float(value)
    return value if math.isfinite(value) else None


def _plain(value):
    """Converts a config's value to JSON types; other objects and infinity become strings."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(inner) for inner in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    return value if isinstance(value, float) and math.isfinite(value) else str(value)
