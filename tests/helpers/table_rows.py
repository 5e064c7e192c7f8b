"""Reads a table of a study back from its Markdown."""

import re


def rows(table):
    """Cells by method and column, as the Markdown shows them."""
    lines = [re.split(r' *\| *', line.strip('| \n')) for line in table.to_markdown().splitlines()]
    header, _, *body = lines
    return {line[0]: dict(zip(header, line, strict=True)) for line in body}
