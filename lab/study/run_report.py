"""Writes the files of a comparison of runs."""

from pathlib import Path

from mmseg_imbalance.utils.files import write_atomically, write_figure
from mmseg_imbalance.utils.markdown import escape_markdown

from .compared_runs import Comparison
from .run_figures import class_differences_figure, training_curves_figure
from .run_tables import Number, Table, details, run_tables

_LATEX_HEAD = r'% Needs \usepackage{booktabs} in the preamble; \input this file in the document.'


def write_run_comparison(comparison: Comparison, out_dir: str | Path) -> list[Path]:
    """Writes tables and figures of a comparison; each file is replaced only when complete.

    ``comparison.md`` shows everything, ``comparison.tex`` has the tables for LaTeX, and
    ``comparison.json`` has all their numbers. The figures are ``curves.png`` and, if there are
    several methods, ``classes.png``.

    Args:
        comparison: A comparison of runs with curves.
        out_dir: The folder.

    Returns:
        The paths of the files.
    """
    out_dir = Path(out_dir)
    figures = {'curves.png': training_curves_figure(comparison)}
    if comparison.others:
        figures['classes.png'] = class_differences_figure(comparison)
    texts = {
        'comparison.json': comparison.to_json(),
        'comparison.tex': comparison_latex(comparison),
        'comparison.md': comparison_markdown(comparison),
    }
    for name, figure in figures.items():
        write_figure(out_dir / name, figure)
    for name, text in texts.items():
        # paths of runs that were left out may not be valid text
        write_atomically(out_dir / name, text.encode(errors='backslashreplace'))
    return [out_dir / name for name in (*texts, *figures)]


def comparison_latex(comparison: Comparison) -> str:
    """Returns all tables of a comparison as LaTeX floats."""
    return '\n'.join([_LATEX_HEAD, *(table.to_latex() for table in run_tables(comparison))])


def comparison_markdown(comparison: Comparison) -> str:
    """Returns a comparison's tables, figures and left-out runs as Markdown."""
    tables = list(run_tables(comparison))
    shown = [table for table in tables if not table.title.endswith('(percentage points)')]
    differences = [table for table in tables if table not in shown]
    parts = ['# Comparison of runs', _introduction(comparison)]
    parts += _problems(comparison)
    parts += _sections(shown[:1])
    parts += ['![training curves](curves.png)']
    if differences:
        parts += ['![differences of classes](classes.png)']
    parts += _sections([*shown[1:], *differences, _runs_table(comparison)])
    return '\n\n'.join(part.rstrip('\n') for part in parts) + '\n'


def _introduction(comparison: Comparison) -> str:
    shared = [f'{key} {value}' for key, value in details(comparison).items() if value is not None]
    data = comparison.runs[0].data['type']
    order = 'in the order of the data set'
    if comparison.share_of:
        order = f'by their share of the {comparison.share_of}, rarest first'
    return escape_markdown(
        f'All: {", ".join(shared)}. Scores of the last validation, on {data}; ± is the sample '
        f'standard deviation over the runs of a method. Classes are sorted {order}.'
    )


def _sections(tables: list[Table]) -> list[str]:
    return [part for t in tables for part in (f'## {escape_markdown(t.title)}', t.to_markdown())]


def _problems(comparison: Comparison) -> list[str]:
    left_out = [f'{path}: {reason}' for path, reason in comparison.left_out]
    parts = []
    for title, lines in (('Left out', left_out), ('Warnings', comparison.warnings)):
        if lines:
            parts += [f'## {title}', '\n'.join(f'- {escape_markdown(line)}' for line in lines)]
    return parts


def _runs_table(comparison: Comparison) -> Table:
    """Returns the means of every single run."""
    rows = []
    for method in comparison.methods:
        for run in method.runs:
            seed = 'random' if run.seed is None else str(run.seed)
            means = [Number(f'{run.means[key]:.2f}', '') for key in comparison.means]
            rows.append([method.name, run.work_dir, run.config, seed, *means])
    return Table('Runs', ['method', 'work dir', 'config', 'seed', *comparison.means], rows)
