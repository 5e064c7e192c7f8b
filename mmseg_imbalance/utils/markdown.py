"""Tables and plain text in Markdown."""

import re
from collections.abc import Sequence


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Formats a table with the first column aligned to the left, all others to the right.

    All cells of a column are equally wide, so the table is also readable as plain text.

    Args:
        header: Titles of the columns.
        rows: Cells of each row, as Markdown.

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


def escape_markdown(text: str) -> str:
    """Escapes text so that Markdown shows it literally, also in a table."""
    text = re.sub(r'([\\|*`<\[\]])', r'\\\1', text)
    return re.sub(r'(?<![^\W_])_|_(?![^\W_])', r'\\_', text)  # '_' inside a word is literal
