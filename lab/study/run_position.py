"""How far a training had come at every record of its log."""

import re
from collections.abc import Iterator

from mmengine.config import Config
from mmengine.runner.utils import calc_dynamic_intervals

_TOTAL = re.compile(r' Iter\(train\) \[ *\d+/(\d+)\]')
_RESUMED = re.compile(r' resumed epoch: \d+, iter: (\d+)$', re.MULTILINE)


class RunLogError(ValueError):
    """The run cannot be compared; the message says why, and how far the run got."""


def training_length(config: Config) -> tuple[str, int]:
    """The unit, ``'iteration'`` or ``'epoch'``, that a training is counted in, and its length.

    Raises:
        RunLogError: The config has neither.
    """
    train_cfg = config.get('train_cfg') or {}
    for unit, key in (('iteration', 'max_iters'), ('epoch', 'max_epochs')):
        if train_cfg.get(key):
            return unit, train_cfg[key]
    raise RunLogError('its config has neither train_cfg.max_iters nor train_cfg.max_epochs')


def positions(records: list[dict], config: Config, log: str) -> list[int]:
    """Finds how far a training had come when it logged its losses and validations.

    A loss's step is an iteration. A validation's is what ``log_metric_by_epoch`` of the LoggerHook
    says, whatever the training is counted in: an iteration, or an epoch, which a training by
    iterations does not count and logs as 0. There the position is the next iteration after the
    loss and the validation before it at which ``val_interval`` makes a validation due.

    Args:
        records: Of one session, in its order; those with an ``'mIoU'`` are validations.
        config: The session's.
        log: Text of its log, of which the start of a resumed training is read, and, where losses
            have no ``'epoch'``, the number of iterations in one.

    Returns:
        By record the number of iterations or epochs (begun, or, at a validation, done), in the
        unit of :func:`training_length`.

    Raises:
        RunLogError: The config has no length, or the epochs cannot be told.
    """
    unit, length = training_length(config)
    logger = (config.get('default_hooks') or {}).get('logger') or {}
    by_epoch = logger.get('log_metric_by_epoch', True)
    if unit == 'epoch':
        return list(_epochs(records, by_epoch, length, log))
    if by_epoch:
        return list(_iterations(records, config.train_cfg, log))
    return [record['step'] for record in records]


def _epochs(records: list[dict], by_epoch: bool, length: int, log: str) -> Iterator[int]:
    epoch = 0
    for record in records:
        if 'mIoU' not in record:
            epoch = record.get('epoch') or _epoch_of(record['step'], length, log)
        elif by_epoch:
            epoch = record['step']
        yield epoch  # a validation follows the losses of its epoch, of which one is always logged


def _epoch_of(step: int, length: int, log: str) -> int:
    """The epoch of an iteration, where log_processor.by_epoch is False."""
    total = _TOTAL.search(log)
    if total is None:
        raise RunLogError(
            'its losses are logged without an epoch (log_processor.by_epoch=False), and it has no '
            '.log with lines "Iter(train) [ITERATION/ITERATIONS]" to tell the epoch from'
        )
    return -(-step * length // int(total[1]))


def _iterations(records: list[dict], train_cfg: dict, log: str) -> Iterator[int]:
    resumed = _RESUMED.search(log)
    reached = validated = int(resumed[1]) if resumed else 0
    for record in records:
        if 'mIoU' in record:
            reached = validated = _next_validation(max(reached, validated + 1), train_cfg)
        else:
            reached = record['step']
        yield reached


def _next_validation(first: int, train_cfg: dict) -> int:
    """The first iteration from ``first`` on after which the loop validates."""
    milestones, intervals = calc_dynamic_intervals(
        train_cfg.get('val_interval', 1000), train_cfg.get('dynamic_intervals')
    )
    max_iters, first = train_cfg['max_iters'], max(first, train_cfg.get('val_begin', 1), 1)
    ends = [*milestones[1:], max_iters + 1]
    for begin, end, interval in zip(milestones, ends, intervals, strict=True):
        due = -(-max(first, begin - 1) // interval) * interval
        if due < min(end - 1, max_iters):
            return due
    return max_iters
