"""Tables of results in pages that people write."""

import re
from collections.abc import Mapping
from pathlib import Path

from mmseg_imbalance.utils.command_line import first_line
from mmseg_imbalance.utils.errors import ToolError
from mmseg_imbalance.utils.files import write_atomically

from .results import Results
from .run_tables import Table
from .tables import TABLES

_PLACE = re.compile(
    r'(?P<head><!-- results: (?P<words>[^\n]*?) -->\n).*?(?P<end><!-- end of results -->)',
    re.DOTALL,
)


def fill_page(text: str, results: Mapping[str, Results], where: str) -> str:
    """Writes tables into the places that a page has for them.

    A place starts with the line ``<!-- results: PLAN TABLE [METHOD …] -->`` and ends with
    ``<!-- end of results -->``. TABLE is one of :data:`TABLES`; the methods are its rows, all
    without any.

    Args:
        text: The page, in Markdown.
        results: By plan.
        where: Name of the page, for errors.

    Returns:
        The page with new tables.

    Raises:
        ToolError: A place asks for what there is not; names the page.
    """

    def fill(place: re.Match) -> str:
        table = asked_table(place['words'].split(), results, where)
        return f'{place["head"]}\n{table.to_markdown()}\n{place["end"]}'

    if text.count('<!-- results: ') != len(_PLACE.findall(text)):
        raise ToolError(f'{where}: a place for results has no line <!-- end of results -->')
    return _PLACE.sub(fill, text)


def asked_table(words: list[str], results: Mapping[str, Results], where: str) -> Table:
    """The table that a place asks for in words."""
    for word, known in zip([*words, '', ''][:2], (results, TABLES), strict=True):
        if word not in known:
            raise ToolError(f'{where} asks for {word!r}; there are {", ".join(known)}')
    found, keys = results[words[0]], words[2:]
    unknown = [key for key in keys if key not in found.trained]
    if unknown:
        raise ToolError(f'{where} asks for {unknown[0]!r}; there are {", ".join(found.trained)}')
    methods = [found.plan.methods[key] for key in keys] or None
    return TABLES[words[1]](found, methods)


def update_page(path: Path, results: Mapping[str, Results], check: bool = False) -> bool:
    """Brings the tables of a page up to date.

    Args:
        path: The page.
        results: By plan.
        check: Whether to leave the file as it is.

    Returns:
        Whether its tables were, or are, out of date.
    """
    text = read_text(path)
    filled = fill_page(text, results, str(path))
    if filled != text and not check:
        write_atomically(path, filled.encode())
    return filled != text


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        ToolError: It is no text.
    """
    try:
        return path.read_text(encoding='utf-8')
    except UnicodeDecodeError as error:
        raise ToolError(f'{path} is no text: {first_line(error)}') from error
