"""Tables of compared runs in Markdown and LaTeX."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mmseg_imbalance.evaluation.class_groups import GROUPS
from mmseg_imbalance.utils.markdown import escape_markdown, markdown_table

from .compared_runs import Comparison, Spread

KIND_NAMES = {'IoU': 'IoU', 'Acc': 'recall'}
_LATEX = {c: f'\\{c}' for c in '&%$#_{}'} | {
    '\\': r'\textbackslash{}',
    '~': r'\textasciitilde{}',
    '^': r'\textasciicircum{}',
    '<': r'\textless{}',
    '>': r'\textgreater{}',
    '|': r'\textbar{}',
}


class Number(NamedTuple):
    """A cell with the digits of a mean and of its standard deviation, '' if there is none."""

    mean: str
    std: str
    best: bool = False


@dataclass(frozen=True)
class Table:
    """A table with a title, column names and rows of cells; the first column is text."""

    title: str
    header: list[str]
    rows: list[list[str | Number]]

    def to_markdown(self) -> str:
        """Returns the table as Markdown, without its title."""
        header, *rows = (
            [_markdown_cell(cell) for cell in row] for row in [self.header, *self.rows]
        )
        return markdown_table(header, rows)

    def to_latex(self) -> str:
        """Returns the table as a LaTeX float with a booktabs tabular and the title as caption."""
        header, *rows = (
            '    ' + ' & '.join(map(_latex_cell, row)) + r' \\' for row in [self.header, *self.rows]
        )
        lines = (
            r'\begin{table}',
            r'  \centering',
            rf'  \caption{{{escape_latex(self.title)}}}',
            rf'  \begin{{tabular}}{{l{"r" * (len(self.header) - 1)}}}',
            r'    \toprule',
            header,
            r'    \midrule',
            *rows,
            r'    \bottomrule',
            r'  \end{tabular}',
            r'\end{table}',
        )
        return '\n'.join(lines) + '\n'


def run_tables(comparison: Comparison) -> Iterator[Table]:
    """Yields all tables of a comparison, from the means to the scores of every class.

    Classes are ordered from tail to head. The best method is marked where methods differ.
    """
    overall = [key for key in comparison.means if key.rpartition('_')[2] not in GROUPS]
    grouped = [key for key in comparison.means if key not in overall]
    yield summary_table(comparison, overall)
    if grouped:
        yield _means_table(comparison, 'Means over head, medium and tail classes (%)', grouped)
    for kind in KIND_NAMES:
        yield _class_table(comparison, kind)
    if comparison.others:
        for kind in KIND_NAMES:
            yield _difference_table(comparison, kind)


def summary_table(comparison: Comparison, means: Sequence[str]) -> Table:
    """Returns the methods with their number of runs, differing settings and given means."""
    table = _means_table(comparison, 'Means over classes (%)', means)
    differing = [key for key, value in details(comparison).items() if value is None]
    table.header[1:1] = ['runs', *differing]
    for row, method in zip(table.rows, comparison.methods, strict=True):
        row[1:1] = [str(len(method.runs)), *(method.detail(key) for key in differing)]
    return table


def details(comparison: Comparison) -> dict[str, str | None]:
    """Returns the details of settings that all runs share, and None for those that differ."""
    shared = {}
    for key in dict.fromkeys(key for run in comparison.runs for key in run.details):
        values = {method.detail(key) for method in comparison.methods}
        shared[key] = values.pop() if len(values) == 1 else None
    return shared


def escape_latex(text: str) -> str:
    """Escapes text so that LaTeX prints it literally."""
    return ''.join(_LATEX.get(character, character) for character in text)


def numbers(spreads: Sequence[Spread], digits: int = 1, sign: str = '') -> list[Number]:
    """Formats scores as cells; if they differ, the largest is marked as the best.

    Args:
        spreads: The scores of a column or of a row.
        digits: Digits after the decimal point.
        sign: ``'+'`` also writes the sign of positive scores.
    """
    means = [round(s.mean, digits) + 0.0 for s in spreads]  # + 0.0 turns -0 into 0
    texts = ['–' if np.isnan(mean) else f'{mean:{sign}.{digits}f}' for mean in means]
    best = f'{np.nanmax(means):{sign}.{digits}f}' if len(set(texts)) > 1 else None
    return [
        Number(text, '' if np.isnan(s.std) else f'{s.std:.{digits}f}', text == best)
        for text, s in zip(texts, spreads, strict=True)
    ]


def _means_table(comparison: Comparison, title: str, means: Sequence[str]) -> Table:
    columns = [numbers([m.mean(key) for m in comparison.methods], digits=2) for key in means]
    names = [method.name for method in comparison.methods]
    rows = [[name, *cells] for name, *cells in zip(names, *columns, strict=True)]
    return Table(title, ['method', *means], rows)


def _class_table(comparison: Comparison, kind: str) -> Table:
    methods = comparison.methods
    rows = [
        [*first, *numbers([method.score(kind, name) for method in methods])]
        for name, first in _first_columns(comparison).items()
    ]
    header = [*_first_header(comparison), *(method.name for method in methods)]
    return Table(f'{_title(kind)} of every class (%)', header, rows)


def _difference_table(comparison: Comparison, kind: str) -> Table:
    rows = []
    for name, first in _first_columns(comparison).items():
        differences = [comparison.difference(m, kind, name) for m in comparison.others]
        (base,) = numbers([comparison.base.score(kind, name)])
        signed = [number._replace(best=False) for number in numbers(differences, sign='+')]
        rows.append([*first, base, *signed])
    header = [*_first_header(comparison), comparison.baseline, *(m.name for m in comparison.others)]
    title = f'{_title(kind)}: difference to {comparison.baseline} (percentage points)'
    return Table(title, header, rows)


def _title(kind: str) -> str:
    name = KIND_NAMES[kind]
    return name[0].upper() + name[1:]


def _first_header(comparison: Comparison) -> list[str]:
    return ['class'] + ([f'{comparison.share_of} %'] if comparison.share_of else [])


def _first_columns(comparison: Comparison) -> dict[str, list[str]]:
    """Returns the name and, if known, the share of every class."""
    return {
        name: [name] if share is None else [name, f'{share:#.3g}']
        for name, share in comparison.shares().items()
    }


def _markdown_cell(cell: str | Number) -> str:
    if isinstance(cell, str):
        return escape_markdown(cell)
    mean = f'**{cell.mean}**' if cell.best else cell.mean
    return f'{mean} ± {cell.std}' if cell.std else mean


def _latex_cell(cell: str | Number) -> str:
    if isinstance(cell, str):
        return escape_latex(cell)
    if cell.mean == '–':
        return '--'
    mean = rf'\mathbf{{{cell.mean}}}' if cell.best else cell.mean
    return rf'${mean} \pm {cell.std}$' if cell.std else f'${mean}$'
