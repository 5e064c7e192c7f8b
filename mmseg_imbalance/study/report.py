"""A study's results as one report with figures."""

from pathlib import Path

from ..evaluation import Comparison
from ..files import write_atomically, write_figure
from ..visualization import class_differences_figure, training_curves_figure
from ..visualization.run_tables import Table, escape_markdown
from .pareto import pareto_figure
from .results import Results
from .tables import (
    class_table,
    cost_table,
    front_table,
    gain_table,
    summary_table,
    target_table,
    tuning_table,
)

_MOST = 9  # methods that a figure can tell apart by their colours


def write_report(results: Results, folder: Path) -> list[Path]:
    """Writes ``report.md``, ``comparison.json`` and the figures.

    Args:
        results: The results.
        folder: Is made where missing.

    Returns:
        The files.
    """
    files = [folder / 'report.md', folder / 'comparison.json', *write_figures(results, folder)]
    write_atomically(files[0], report(results).encode())
    write_atomically(files[1], results.comparison.to_json().encode())
    return files


def write_figures(results: Results, folder: Path, prefix: str = '') -> list[Path]:
    """Draws ``pareto.png``, ``classes.png`` and ``curves.png``, the last two of the highlights."""
    comparison = highlights(results)
    figures = {'pareto': pareto_figure(results), 'curves': training_curves_figure(comparison)}
    if comparison.others:
        figures['classes'] = class_differences_figure(comparison)
    files = []
    for name, figure in figures.items():
        files.append(folder / f'{prefix}{name}.png')
        write_figure(files[-1], figure)
    return files


def highlights(results: Results) -> Comparison:
    """The baseline and the plan's highlights, no more than a figure can show."""
    keys = [results.plan.baseline, *(results.plan.highlights or results.trained)]
    wanted = [
        results.plan.methods[key].name for key in dict.fromkeys(keys) if key in results.trained
    ]
    methods = [m for m in results.comparison.methods if m.name in wanted[:_MOST]]
    return Comparison(methods, results.comparison.baseline)


def report(results: Results) -> str:
    """All tables, as Markdown."""
    tables = [summary_table(results)]
    if len(results.methods) > 1:
        tables += [gain_table(results), target_table(results), front_table(results)]
    tables += [class_table(results, kind) for kind in ('IoU', 'Acc')]
    if set(results.trained) <= set(results.costs):
        tables.append(cost_table(results))
    if results.tuned:
        tables.append(tuning_table(results))
    parts = [f'# {results.plan.title}', introduction(results), '![trade-off](pareto.png)']
    for table in tables:
        parts += _section(table)
    parts += ['![classes](classes.png)', '![curves](curves.png)', '## Commands', _commands(results)]
    return '\n\n'.join(part.rstrip('\n') for part in parts) + '\n'


def introduction(results: Results) -> str:
    """Under what conditions the results were made."""
    machines = {', '.join(f'{k} {v}' for k, v in r.machine.items()) for r in results.records}
    seeds = sorted({r.trial.seed for r in results.records})
    return escape_markdown(
        f'{results.plan.setting}, seeds {", ".join(map(str, seeds))}; last checkpoint, mean ± '
        f'sample standard deviation over the seeds. {"; ".join(sorted(machines))}.'
    )


def _section(table: Table) -> list[str]:
    return [f'## {escape_markdown(table.title)}', table.to_markdown()]


def _commands(results: Results) -> str:
    lines = [r.command for records in results.trained.values() for r in records]
    return '```bash\n' + '\n'.join(lines) + '\n```'
