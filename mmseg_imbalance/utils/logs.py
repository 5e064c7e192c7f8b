"""Messages to the log of the run."""

import logging

from torch.utils.data import get_worker_info

from ..registry import HAS_STACK


def log(message: str, level: int = logging.INFO) -> None:
    """Writes to MMEngine's current logger or, without MMEngine, to this package's logger."""
    if HAS_STACK:
        from mmengine.logging import print_log  # imported late: optional

        print_log(message, logger='current', level=level)
    else:
        logging.getLogger('mmseg_imbalance').log(level, message)


def in_later_worker() -> bool:
    """Whether this is a worker of a data loader, but not its first, which can warn for all."""
    worker = get_worker_info()
    return worker is not None and worker.id > 0
