"""Tables in Markdown."""

from collections.abc import Sequence


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Writes a table whose first column is aligned to the left, all others to the right.

    Columns are as wide as their cells, so that the text itself is a table for readers.

    Args:
        header: The titles of the columns.
        rows: The cells, as Markdown.

    Example:
        >>> print(markdown_table(['class', 'IoU'], [['road', '97.1']]), end='')
        | class |  IoU |
        | ----- | ---: |
        | road  | 97.1 |
    """
    widths = [max(3, *map(len, column)) for column in zip(header, *rows, strict=True)]
    rule = ['-' * widths[0], *('-' * (width - 1) + ':' for width in widths[1:])]
    lines = (
        ' | '.join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])])
        for row in (header, rule, *rows)
    )
    return ''.join(f'| {line} |\n' for line in lines)
