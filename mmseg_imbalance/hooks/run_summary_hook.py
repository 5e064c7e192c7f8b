"""A hook that describes a training and its results in one file."""

import itertools
import json
import math
from collections.abc import Mapping
from numbers import Real
from pathlib import Path

import mmcv
import mmengine
import mmseg
import numpy as np
from mmengine.dist import broadcast_object_list, get_world_size, is_main_process
from mmengine.hooks import Hook
from mmseg.registry import HOOKS

from ..evaluation.imbalance_metric import ImbalanceMetric
from ..utils.files import write_atomically
from ..utils.machine import describe_machine
from ..utils.settings import flat_settings
from ..utils.training_loop import by_epoch, metrics_of
from ..version import __version__

FILE_NAME = 'run.json'
_POINTS = 100  # maximum number of points of a loss curve
_TRAINED = ('model', 'optim_wrapper', 'param_scheduler')  # should not change on the way
_KEY = 'run_summary'  # in MMEngine's message hub, which checkpoints hold


@HOOKS.register_module()
class RunSummaryHook(Hook):
    """Writes ``run.json`` into the work dir, so that tools can compare trainings.

    The file is replaced when the training starts, after every validation, and at the end. A
    resumed training continues the file of the run that its checkpoint comes from; entries after
    the checkpoint are dropped. If a training would end without a final validation, for example
    because it was stopped between its last checkpoint and the validation, it is validated then.

    ``run.json`` is an object with these keys, where non-finite numbers are null:

    - ``config``: name of the config file without suffix; ``settings``: the whole config; ``seed``;
      ``load_from``: the checkpoint that the run started with, ``'?'`` if its beginning is unknown.
    - ``versions``: device, Python, PyTorch, the stack and this package; ``processes``: the world
      sizes of the run, without repetition, ``'?'`` for an unknown beginning.
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
        self._summary: dict | None = None  # of a training, on rank 0, else None

    def before_train(self, runner) -> None:
        """Describes a new run, or continues the description of a resumed one."""
        origin = _origin(runner)
        runner.message_hub.update_info(_KEY, origin)
        if runner.iter >= runner.max_iters:
            _skip_no_data(runner.train_loop)
        if is_main_process():
            self._summary = _describe(runner) | origin
            if runner.iter > 0:
                _continue(self._summary, runner)
            self._write(runner)
            metrics = metrics_of(runner.val_loop)
            if metrics and not any(isinstance(metric, ImbalanceMetric) for metric in metrics):
                runner.logger.info(
                    f'{FILE_NAME} will have no scores of single classes, which compare_runs.py and '
                    "advise.py need: val_evaluator = dict(_delete_=True, type='ImbalanceMetric') "
                    'records them'
                )

    def after_val_epoch(self, runner, metrics: dict[str, object] | None = None) -> None:
        """Records the scores of a validation during training."""
        if self._summary is None:
            return
        position, (classes, prefix) = _position(runner), _class_rows(runner)
        # a prefix would keep the means of two runs apart
        means = {
            key.removeprefix(f'{prefix}/'): _number(value)
            for key, value in (metrics or {}).items()
            if isinstance(value, Real)
        }
        for key, value in means.items():
            curve = self._summary['curves'].setdefault(key, [])
            curve[:] = [point for point in curve if point[0] < position] + [[position, value]]
        self._summary['scores'] = {'reached': position, 'means': means, 'classes': classes}
        self._write(runner)

    def after_train(self, runner) -> None:
        """Records that the training ended, and validates it first if that is still missing."""
        position, scores = _position(runner), self._summary and self._summary['scores']
        missing = [scores is None or scores['reached'] < position]
        broadcast_object_list(missing)  # by rank 0, which has the file
        begun = position >= getattr(runner.train_loop, 'val_begin', 1)
        if missing[0] and begun and runner.val_loop is not None:
            runner.message_hub.update_info('iter', runner.iter - 1)  # the last one, counted from 0
            runner.val_loop.run()
        if self._summary is not None:
            self._summary['finished'] = True
            self._write(runner)
            self._summary = None

    def _write(self, runner) -> None:
        self._summary['reached'] = _position(runner)
        self._summary['curves']['loss'] = _loss_curve(runner)
        text = json.dumps(self._summary, ensure_ascii=False, allow_nan=False, indent=1)
        try:
            write_atomically(Path(runner.work_dir, FILE_NAME), (text + '\n').encode())
        except OSError as error:  # a full disk is no reason to end a training
            runner.logger.warning(f'RunSummaryHook wrote no {FILE_NAME}: {error}')


def _origin(runner) -> dict:
    """Where the run began, and on how many processes; resumed runs have it in the checkpoint."""
    fresh = dict(run_id=runner.experiment_name, load_from=runner.cfg.get('load_from'), processes=[])
    if runner.iter > 0:
        unknown = dict(fresh, load_from='?', processes=['?'])
        fresh = runner.message_hub.get_info(_KEY) or unknown
    processes = list(dict.fromkeys([*fresh['processes'], get_world_size()]))
    return fresh | {'processes': processes}


def _describe(runner) -> dict:
    cfg, epochs = runner.cfg, by_epoch(runner)
    device = next(runner.model.parameters()).device
    libraries = {library.__name__: library.__version__ for library in (mmengine, mmcv, mmseg)}
    return {
        'config': Path(cfg.filename).stem if cfg.filename else '',
        'settings': _plain(cfg.to_dict()),
        'seed': runner.seed,
        'versions': describe_machine(device) | libraries | {'mmseg_imbalance': __version__},
        'unit': 'epoch' if epochs else 'iteration',
        'length': runner.max_epochs if epochs else runner.max_iters,
        'finished': False,
        'curves': {},
        'scores': None,
    }


def _continue(summary: dict, runner) -> None:
    """Adds what the run's own file says about the training up to the checkpoint."""
    position = _position(runner)
    try:
        text = Path(runner.work_dir, FILE_NAME).read_bytes()
        earlier = json.loads(text, parse_constant=lambda _: None)  # NaN is not JSON
        if earlier['run_id'] != summary['run_id']:
            return
        curves = {
            name: [[step, value] for step, value in points if step <= position]
            for name, points in earlier['curves'].items()
            if name != 'loss'
        }
        scores = earlier['scores']
        if scores and not (scores['classes'] and scores['reached'] <= position):
            scores = None  # the end is validated anew
        before, now = (
            flat_settings({key: s['settings'].get(key) for key in _TRAINED})
            for s in (earlier, summary)
        )
        changed = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    except Exception as error:  # JSON can hold anything
        runner.logger.warning(
            f'cannot read {runner.work_dir}/{FILE_NAME}, starting a new one: {error!r:.200}',
        )
        return
    if changed:
        runner.logger.warning(
            f'the resumed training had other settings: {", ".join(changed[:5])}'
            f'{", …" * (len(changed) > 5)}; {FILE_NAME} says of the whole run what is set now'
        )
    summary |= {'curves': curves, 'scores': scores}


def _skip_no_data(loop) -> None:
    """Spares a training that has ended the batches of its past.

    MMEngine loads all of them before it goes on, unless the sampler can skip them.
    """
    loop.fast_forward_on_resume = True  # the fork's own switch
    if not hasattr(getattr(loop, 'dataloader_iterator', None), 'skip_iter'):  # upstream
        loop.dataloader_iterator = itertools.repeat(None)


def _position(runner) -> int:
    return runner.epoch if by_epoch(runner) else runner.iter


def _class_rows(runner) -> tuple[list[dict], str | None]:
    """Rows of the first ImbalanceMetric, and its prefix."""
    for metric in metrics_of(runner.val_loop):
        if isinstance(metric, ImbalanceMetric) and metric.scores:
            return metric.scores.rows(), metric.prefix
    return [], None


def _loss_curve(runner) -> list[list]:
    """Loss by iteration, from MMEngine's history, which checkpoints contain."""
    hub = runner.message_hub
    if 'train/loss' not in hub.log_scalars:
        return []
    losses = hub.get_scalar('train/loss').data[0]
    first, stretch = runner.iter - len(losses), -(-runner.max_iters // _POINTS)
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
