"""One table of the gains of methods in several studies."""

from collections.abc import Mapping, Sequence

from .results import Results
from .run_tables import Table, numbers


def across_studies_table(studies: Mapping[str, Results], methods: Sequence[str]) -> Table:
    """Returns the gains over the baseline of methods in several studies, in percentage points.

    A cell has mIoU with its standard deviation, the IoU of the tail and pixel accuracy, and how
    many trainings they are from where seeds are missing. Where parts of the training images were
    held out in turn, gains are over these. '–' stands for what was not trained.

    Args:
        studies: Results by the heading of their column.
        methods: Keys of the methods, each in at least one of the plans.
    """
    rows = []
    for key in methods:
        plans = (results.plan for results in studies.values())
        name = next(plan.methods[key].name for plan in plans if key in plan.methods)
        rows.append([name, *(_gains(results, key) for results in studies.values())])
    title = 'Gains of mIoU / tail IoU / pixel accuracy (percentage points)'
    return Table(title, ['method', *studies], rows)


def _gains(results: Results, key: str) -> str:
    """Returns the gains of a method in one study as a cell."""
    method = results.plan.methods.get(key)
    scores = ('mIoU', 'mIoU_tail', 'aAcc') if method else ()
    gains = [results.judged_gain(method, score) for score in scores]
    if not gains or not gains[0].runs:
        return '–'
    miou, *others = numbers(gains, sign='+')
    spread = f' ± {miou.std}' if miou.std else ''
    cell = ' / '.join([f'{miou.mean}{spread}', *(number.mean for number in others)])
    complete = results.plan.in_turn or gains[0].runs == len(results.plan.seeds)
    return cell if complete else f'{cell} (n = {gains[0].runs})'
