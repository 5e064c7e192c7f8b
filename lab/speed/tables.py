"""Markdown tables of measurements, and the file of all numbers."""

import json
from collections.abc import Sequence
from pathlib import Path

from mmseg_imbalance.utils.files import write_atomically
from mmseg_imbalance.utils.markdown import markdown_table

from .contestants import COPY_LIMIT, EAGER_CROSS_ENTROPY
from .measure import Measurement


def losses_table(measured: Sequence[Measurement]) -> str:
    """Compares time and memory with those of eager cross-entropy, and time with the copy limit.

    On a GPU there are two times, of a single step and of the device alone. In that case the time
    of the device is compared with the copy limit.
    """
    by_name = {measurement.name: measurement for measurement in measured}
    base, limit = by_name[EAGER_CROSS_ENTROPY], by_name[COPY_LIMIT]
    return _table('loss', '× cross-entropy', measured, base, limit)


def stages_table(measured: Sequence[Measurement]) -> str:
    """Compares time and memory with those of the first measurement."""
    return _table('upsampling, loss and accuracy', '× the first', measured, measured[0])


def training_table(measured: Sequence[Measurement]) -> str:
    """Compares time and memory of whole training steps with those of the first one."""
    return _table('training step', '× the first', measured, measured[0])


def _table(
    title: str,
    times_base: str,
    measured: Sequence[Measurement],
    base: Measurement,
    limit: Measurement | None = None,
) -> str:
    on_device = any(measurement.device_seconds for measurement in measured)
    header = [title, 'ms', times_base]
    if on_device:
        header += ['ms of the device', times_base]
    if limit is not None:
        header.append(f'× {limit.name}')
    rows = []
    for name, seconds, peak, device_seconds in measured:
        row = [name, *_time_beside(seconds, base.seconds)]
        if on_device:
            row += _time_beside(device_seconds, base.device_seconds)
        if limit is not None and on_device:
            row.append(_ratio(device_seconds, limit.device_seconds, 1))
        elif limit is not None:
            row.append(_ratio(seconds, limit.seconds, 1))
        rows.append([*row, f'{peak / 2**20:.0f}', _ratio(peak, base.peak_bytes, 3)])
    return markdown_table([*header, 'MiB', f'{times_base}’s'], rows)


def _time_beside(seconds: float | None, base: float | None) -> list[str]:
    milliseconds = '–' if seconds is None else f'{1e3 * seconds:.{2 if seconds < 0.01 else 1}f}'
    return [milliseconds, _ratio(seconds, base, 2)]


def _ratio(value: float | None, base: float | None, digits: int) -> str:
    return '–' if value is None or base is None else f'{value / base:.{digits}f}'


def save_json(path: Path | None, report: dict) -> None:
    """Writes what is measured so far, so that nothing is lost if a later part fails.

    Args:
        path: The JSON file; None: nothing is written.
        report: The numbers.
    """
    if path:
        write_atomically(path, json.dumps(report, indent=2).encode())
