"""The log of a training that is still going on."""

import json
from pathlib import Path


def latest_loss(work_dir: Path) -> dict | None:
    """The newest record with a loss that the latest session of a training has logged.

    Args:
        work_dir: Its work dir, which need not exist yet.

    Returns:
        The record, with ``'step'`` and ``'loss'``; None before the first one.
    """
    logs = sorted(work_dir.glob('*/vis_data/scalars.json'))
    lines = logs[-1].read_text().splitlines() if logs else []
    for line in reversed(lines):
        try:
            record = json.loads(line)
        except json.JSONDecodeError:  # half a line, being written
            continue
        if 'loss' in record:
            return record
    return None
