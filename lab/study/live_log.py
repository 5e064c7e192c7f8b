"""The log of a training that is still going on."""

import json
from collections.abc import Iterator
from pathlib import Path


def newest_records(work_dir: Path) -> Iterator[dict]:
    """What the latest session of a training has logged so far, the newest record first.

    Args:
        work_dir: Its work dir, which need not exist yet.

    Yields:
        The records, without half a line that is being written.
    """
    logs = sorted(work_dir.glob('*/vis_data/scalars.json'))
    for line in reversed(logs[-1].read_text().splitlines() if logs else []):
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            continue


def latest_loss(work_dir: Path) -> dict | None:
    """The newest of those records that has a loss, with ``'step'``; None before the first one."""
    return next((record for record in newest_records(work_dir) if 'loss' in record), None)
