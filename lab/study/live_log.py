"""Reads the log of a running training."""

import json
from collections.abc import Iterator
from pathlib import Path


def newest_records(work_dir: Path) -> Iterator[dict]:
    """Yields the log records of a training's latest session, the newest first.

    Args:
        work_dir: The work dir of the training, which need not exist yet.

    Yields:
        The records; a line that is only half written is skipped.
    """
    logs = sorted(work_dir.glob('*/vis_data/scalars.json'))
    for line in reversed(logs[-1].read_text().splitlines() if logs else []):
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            continue


def latest_loss(work_dir: Path) -> dict | None:
    """Returns the newest record that has a loss (and ``'step'``), or None if there is none yet."""
    return next((record for record in newest_records(work_dir) if 'loss' in record), None)
