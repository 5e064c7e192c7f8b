"""The tables of docs/performance.md about a GPU say what was measured."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CASES = ('19-classes-float32', '19-classes-bfloat16', '150-classes-float32', '150-classes-bfloat16')


def rows_of(part: str) -> dict[str, list[str]]:
    page = (ROOT / 'docs/performance.md').read_text()
    table = re.search(rf'<!-- h200: {part} -->\n((?:\|.*\n)+)', page)[1]
    rows = [[cell.strip() for cell in line.strip('|\n').split('|')] for line in table.splitlines()]
    return {row[0]: row[1:] for row in rows[2:]}


@pytest.mark.parametrize(
    ('part', 'base', 'time', 'digits'),
    [
        ('losses', 'cross-entropy', 'device_seconds', 2),
        ('stages', 'cross-entropy, as MMSegmentation does it', 'seconds', 3),
    ],
)
def test_table_is_that_of_the_results(part, base, time, digits):
    expected: dict[str, list[str]] = {}
    for case in CASES:
        file = ROOT / f'lab/speed/results/h200/losses-{case}.json'
        measured = {row['name']: row for row in json.loads(file.read_text())[part]}
        for name, row in measured.items():
            ratio = row[time] / measured[base][time] if row[time] else float('nan')
            memory = row['peak_bytes'] / measured[base]['peak_bytes']
            expected.setdefault(name, []).extend([f'{ratio:.2f}', f'{memory:.{digits}f}'])
    table = rows_of(part)
    assert len(table) >= 6
    assert table == {name: expected[name] for name in table}
