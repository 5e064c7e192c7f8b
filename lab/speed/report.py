"""The file of all numbers of a measurement."""

import json
from pathlib import Path

from mmseg_imbalance.utils.files import write_atomically


def write_report(path: Path | None, report: dict) -> None:
    """Writes what is measured so far, so that nothing is lost if a later part fails.

    Args:
        path: The JSON file; None: nothing is written.
        report: The numbers.
    """
    if path:
        write_atomically(path, json.dumps(report, indent=2).encode())
        print(f'written: {path}')
