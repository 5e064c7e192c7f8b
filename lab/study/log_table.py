"""Tables of the scores of classes, read back from the text log of a training."""

import re
from collections.abc import Iterator

_SUMMARY = re.compile(r' - \w+\((?P<stage>val|test)\) .*')


def last_validated_classes(log: str, miou: float) -> list[dict[str, str | float]] | None:
    """Finds the table that the last validation of a training logged.

    Both IoUMetric and :class:`ImbalanceMetric` log one, before the line with the means.

    Args:
        log: Text of the log.
        miou: The validation's mIoU in percent; of the tables of several metrics the last one with
            this mean is meant.

    Returns:
        A row per class, columns by their header (``'IoU'``, ``'Acc'``, …; that of the class is
        ``'class'``), numbers where a cell holds one, NaN where it is undefined. None if there is
        no table of that mIoU.

    Example:
        >>> log = '''+-------+-------+
        ... | Class |  IoU  |
        ... +-------+-------+
        ... |  road | 97.14 |
        ... |  sky  |  nan  |
        ... +-------+-------+
        ... 2026/01/01 12:00:00 - mmengine - INFO - Iter(val) [9/9]    mIoU: 97.1400'''
        >>> last_validated_classes(log, 97.14)
        [{'class': 'road', 'IoU': 97.14}, {'class': 'sky', 'IoU': nan}]
    """
    validated, pending = [], []
    for item in _tables_and_stages(log):
        if isinstance(item, list):
            pending.append(item)
            continue
        if item == 'val':
            validated = pending
        pending = []
    for table in reversed(validated):
        defined = [row['IoU'] for row in table if row['IoU'] == row['IoU']]
        if defined and abs(sum(defined) / len(defined) - miou) < 0.02:  # both are rounded
            return table
    return None


def _tables_and_stages(log: str) -> Iterator[list[dict] | str]:
    """Tables of classes, and 'val' or 'test' where their evaluation ends, in the log's order."""
    rows = []
    for line in [*log.splitlines(), '']:
        if line.startswith('|'):
            rows.append([cell.strip() for cell in line.rstrip()[1:-1].split('|')])
        elif not line.startswith('+'):
            table = _class_table(rows)
            if table:
                yield table
            rows = []
            summary = _SUMMARY.search(line)
            if summary:
                yield summary['stage']


def _class_table(rows: list[list[str]]) -> list[dict] | None:
    if not rows or rows[0][0].lower() != 'class' or 'IoU' not in rows[0]:
        return None
    header = ['class', *rows[0][1:]]
    table = [
        {'class': row[0]} | {key: _value(cell) for key, cell in zip(header[1:], row[1:])}  # noqa: B905
        for row in rows[1:]
    ]
    # a line that was cut short, as by a full disk, makes no table
    complete = all(len(row) == len(header) and isinstance(row['IoU'], float) for row in table)
    return table if complete else None


def _value(cell: str) -> str | float:
    try:
        return float('nan') if cell == '–' else float(cell)
    except ValueError:
        return cell
