"""The report of a study's results, with figures."""

from collections.abc import Iterable
from pathlib import Path

from mmseg_imbalance.utils.files import write_atomically, write_figure
from mmseg_imbalance.utils.markdown import escape_markdown

from .compared_runs import Comparison
from .equal_recall import equal_recall_figure, equal_recall_table
from .pareto import pareto_figure
from .record import Record
from .results import Results
from .run_figures import MOST_METHODS, class_differences_figure, training_curves_figure
from .tables import TABLES


def write_report(results: Results, folder: Path) -> list[Path]:
    """Writes ``report.md``, ``comparison.json`` and the figures.

    Args:
        results: The results.
        folder: The folder, which is made if missing.

    Returns:
        The paths of the files.
    """
    files = [folder / 'report.md', folder / 'comparison.json', *write_figures(results, folder)]
    write_atomically(files[0], report(results).encode())
    write_atomically(files[1], results.comparison.to_json().encode())
    return files


def write_figures(results: Results, folder: Path, prefix: str = '') -> list[Path]:
    """Draws ``pareto.png``, and of the highlights only ``classes.png`` and ``curves.png``.

    ``equal_recall.png`` is of the methods that were calibrated, as many as a figure can show.
    """
    comparison = highlighted_runs(results)
    figures = {'pareto': pareto_figure(results), 'curves': training_curves_figure(comparison)}
    if comparison.others:
        figures['classes'] = class_differences_figure(comparison)
    if equal_recall_table(results).rows:
        calibrated = [m for m in results.plan.methods.values() if results.tradeoffs(m)]
        figures['equal_recall'] = equal_recall_figure(results, calibrated[:MOST_METHODS])
    files = []
    for name, figure in figures.items():
        files.append(folder / f'{prefix}{name}.png')
        write_figure(files[-1], figure)
    return files


def highlighted_runs(results: Results) -> Comparison:
    """Returns the baseline and the plan's highlights, as many as a figure can show."""
    keys = [results.plan.baseline, *(results.plan.highlights or results.trained)]
    keys = [key for key in dict.fromkeys(keys) if key in results.trained][:MOST_METHODS]
    wanted = {results.plan.methods[key].name for key in keys}
    methods = [m for m in results.comparison.methods if m.name in wanted]
    return Comparison(methods, results.comparison.baseline)


def report(results: Results) -> str:
    """Returns the report with all tables as Markdown."""
    parts = [f'# {results.plan.title}', _introduction(results), '![trade-off](pareto.png)']
    parts += _sections(results, 'summary')
    if results.comparison.others:
        parts += [*_sections(results, 'gains', 'targets', 'front'), '![classes](classes.png)']
    parts += _sections(results, 'by-images', 'IoU', 'recall')
    if results.plan.baseline in results.costs:
        machines = _machines(results.costs.values())
        parts += [*_sections(results, 'cost'), escape_markdown(f'{machines}.')]
    parts += _sections(results, 'calibrated')
    if equal_recall := _sections(results, 'equal-recall'):
        parts += [*equal_recall, '![at one recall of the frequent classes](equal_recall.png)']
    parts += _sections(results, 'left-out', 'tuning')
    parts += ['![curves](curves.png)', '## Commands', _commands(results)]
    return '\n\n'.join(part.rstrip('\n') for part in parts) + '\n'


def _introduction(results: Results) -> str:
    """Describes the conditions of the runs."""
    seeds = ', '.join(str(seed) for seed in results.plan.seeds)
    return escape_markdown(
        f'{results.plan.setting}, seeds {seeds}; last checkpoint, mean ± sample standard deviation '
        f'over the seeds. {_machines(results.records)}.'
    )


def _machines(records: Iterable[Record]) -> str:
    described = (', '.join(f'{k} {v}' for k, v in record.machine.items()) for record in records)
    return '; '.join(dict.fromkeys(described))


def _sections(results: Results, *names: str) -> list[str]:
    tables = [TABLES[name](results, None) for name in names]
    return [
        text
        for table in tables
        if table.rows
        for text in (f'## {escape_markdown(table.title)}', table.to_markdown())
    ]


def _commands(results: Results) -> str:
    return '```bash\n' + '\n'.join(record.command for record in results.records) + '\n```'
