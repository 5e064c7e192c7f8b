"""Inserts tables of results into hand-written pages."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from mmseg_imbalance.utils.command_line import first_line
from mmseg_imbalance.utils.errors import ToolError
from mmseg_imbalance.utils.files import write_atomically

from .across_studies import across_studies_table
from .results import Results
from .run_tables import Table
from .tables import TABLES, TABLES_OF_SEEDS

_PLACE = re.compile(
    r'(?P<head><!-- results: (?P<words>[^\n]*?) -->\n).*?(?P<end><!-- end of results -->)',
    re.DOTALL,
)


def fill_page(text: str, results: Mapping[str, Results], where: str) -> str:
    """Writes tables into the marked places of a page.

    A place starts with the line ``<!-- results: PLAN TABLE [METHOD …] -->`` and ends with
    ``<!-- end of results -->``. TABLE is one of :data:`TABLES`. The methods are its rows; if none
    are named, it has all. With several plans, ``PLAN=HEADING,PLAN=HEADING …`` and no TABLE, it is
    that of ``across_studies_table``; a heading has ``_`` for spaces.

    Args:
        text: The page in Markdown.
        results: Results by plan.
        where: Name of the page, for errors.

    Returns:
        The page with new tables.

    Raises:
        ToolError: If a place has no end or asks for something unknown; the message names the page.
    """

    def fill(place: re.Match) -> str:
        table = asked_table(place['words'].split(), results, where)
        return f'{place["head"]}\n{table.to_markdown()}\n{place["end"]}'

    if text.count('<!-- results: ') != len(_PLACE.findall(text)):
        raise ToolError(f'{where}: a place for results has no line <!-- end of results -->')
    return _PLACE.sub(fill, text)


def asked_table(words: list[str], results: Mapping[str, Results], where: str) -> Table:
    """Returns the table that the words of a place ask for."""
    if '=' in words[0]:
        return _asked_across(words, results, where)
    for word, known in zip([*words, '', ''][:2], (results, TABLES), strict=True):
        _check_known([word], known, where)
    found, keys = results[words[0]], words[2:]
    _check_known(keys, found.trained if words[1] in TABLES_OF_SEEDS else found.plan.methods, where)
    methods = [found.plan.methods[key] for key in keys] or None
    return TABLES[words[1]](found, methods)


def _asked_across(words: list[str], results: Mapping[str, Results], where: str) -> Table:
    headings = dict(study.split('=', 1) for study in words[0].split(','))
    _check_known(headings, results, where)
    found = {heading.replace('_', ' '): results[plan] for plan, heading in headings.items()}
    known = dict.fromkeys(key for study in found.values() for key in study.plan.methods)
    _check_known(words[1:], known, where)
    return across_studies_table(found, words[1:])


def _check_known(asked: Iterable[str], known: Iterable[str], where: str) -> None:
    for word in asked:
        if word not in known:
            raise ToolError(f'{where} asks for {word!r}; there are {", ".join(known)}')


def update_page(path: Path, results: Mapping[str, Results], check: bool = False) -> bool:
    """Brings the tables of a page up to date.

    Args:
        path: The page.
        results: Results by plan.
        check: Whether to only check, without changing the file.

    Returns:
        Whether the tables were out of date.
    """
    text = read_text(path)
    filled = fill_page(text, results, str(path))
    if filled != text and not check:
        write_atomically(path, filled.encode())
    return filled != text


def read_text(path: Path) -> str:
    """Reads a text file.

    Raises:
        ToolError: If the file is not UTF-8 text.
    """
    try:
        return path.read_text(encoding='utf-8')
    except UnicodeDecodeError as error:
        raise ToolError(f'{path} is not a text file: {first_line(error)}') from error
