"""Warnings in the log of the run."""

import logging
from functools import cache

from torch.utils.data import get_worker_info

from ..registry import HAS_STACK


def warn(message: str) -> None:
    """Warns in MMEngine's current log or, without MMEngine, in this package's log."""
    if HAS_STACK:
        from mmengine.logging import print_log  # imported late: optional

        print_log(message, 'current', logging.WARNING)
    else:
        logging.getLogger('mmseg_imbalance').warning(message)


@cache
def warn_once(message: str) -> None:
    """Warns, unless this process has said the same before."""
    warn(message)


def in_later_worker() -> bool:
    """Whether this is a worker of a data loader, but not its first, which can warn for all."""
    worker = get_worker_info()
    return worker is not None and worker.id > 0
