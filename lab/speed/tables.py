"""Measurements as tables in Markdown."""

from collections.abc import Sequence

from .contestants import COPY_LIMIT, EAGER_CROSS_ENTROPY
from .measure import Measurement


def losses_table(measured: Sequence[Measurement]) -> str:
    """Times and memory beside those of eager cross-entropy, and times beside the copy limit."""
    by_name = {measurement.name: measurement for measurement in measured}
    return _table(
        ['loss', 'ms', '× cross-entropy', '× copy limit', 'MiB', '× cross-entropy’s'],
        measured,
        by_name[EAGER_CROSS_ENTROPY],
        by_name[COPY_LIMIT],
    )


def stages_table(measured: Sequence[Measurement]) -> str:
    """Times and memory beside those of the first."""
    header = ['upsampling, loss and accuracy', 'ms', '× the first', 'MiB', '× the first’s']
    return _table(header, measured, measured[0])


def _table(
    header: list[str],
    measured: Sequence[Measurement],
    base: Measurement,
    limit: Measurement | None = None,
) -> str:
    rows = []
    for name, seconds, peak in measured:
        row = [name, f'{1e3 * seconds:.1f}', f'{seconds / base.seconds:.2f}']
        if limit is not None:
            row.append(f'{seconds / limit.seconds:.1f}')
        rows.append([*row, f'{peak / 2**20:.0f}', f'{peak / base.peak_bytes:.3f}'])
    return _markdown(header, rows)


def _markdown(header: list[str], rows: list[list[str]]) -> str:
    """A table whose columns are aligned in the text too, the first to the left."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    rule = ['-' * widths[0], *('-' * (width - 1) + ':' for width in widths[1:])]
    lines = (
        ' | '.join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])])
        for row in (header, rule, *rows)
    )
    return '\n'.join(f'| {line} |' for line in lines)
