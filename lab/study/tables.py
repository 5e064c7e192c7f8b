"""Tables of the results of a study."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from mmseg_imbalance.utils.errors import ToolError

from .compared_runs import Spread
from .equal_recall import equal_recall_table
from .plan import MEANS, Method, Target
from .record import Record
from .results import Results
from .run_tables import KIND_NAMES, Number, Table, numbers

_IMAGE_GROUPS = {'under 5 %': 5, '5 to 10 %': 10, '10 to 25 %': 25, '25 % or more': np.inf}


def summary_table(results: Results, methods: Sequence[Method] | None = None) -> Table:
    """Returns means over all and over tail classes, also with test-time augmentation.

    The mean IoU is also shown without the plan's background.

    Args:
        results: The results.
        methods: The rows, all methods if None; the same holds for the other tables.
    """
    methods = methods or results.methods
    columns = _mean_columns(results, results.mean, methods)
    if background := results.plan.background:
        names = list(results.comparison.shares())
        if background not in names:
            raise ToolError(f'background of the plan is {background!r}, which is no class')
        names.remove(background)
        scores = [_mean_iou(results.trained[method.key], names) for method in methods]
        columns[f'mIoU without {background}'] = numbers(scores)
    for key in ('mIoU', 'mAcc') if results.plan.augmented else ():
        columns[f'{key}, TTA'] = numbers([results.mean(m, key, augmented=True) for m in methods])
    return _table(results, 'Means over classes (%)', results.mean, methods, columns)


def gain_table(results: Results, methods: Sequence[Method] | None = None) -> Table:
    """Returns the differences to the baseline with the same seed."""
    methods = methods or results.methods[1:]
    columns = _mean_columns(results, results.gain, methods, sign='+')
    title = f'Difference to {results.comparison.baseline} (percentage points)'
    return _table(results, title, results.gain, methods, columns)


def class_table(
    results: Results, methods: Sequence[Method] | None = None, kind: str = 'IoU'
) -> Table:
    """Returns IoU (``'IoU'``) or recall (``'Acc'``) of every class, the rarest first."""
    methods = methods or results.methods
    runs = {m.name: m for m in results.comparison.methods}
    columns = {
        f'{name}, {share:.2g} %': numbers([runs[m.name].score(kind, name) for m in methods])
        for name, share in results.comparison.shares().items()
    }
    title = f'{KIND_NAMES[kind]} of every class (%)'
    return _table(results, title, results.mean, methods, columns)


def by_images_table(results: Results, methods: Sequence[Method] | None = None) -> Table:
    """Returns the mean IoU of classes that are in few or many of the training images.

    A class counts if it is in a training image and all runs define its IoU. The table is empty
    where no run says how many images hold a class.
    """
    groups: dict[str, list[str]] = {}
    shares = results.comparison.image_shares()
    for name, share in sorted(shares.items(), key=lambda item: item[1]):
        if share and not any(np.isnan(r.run.scores['IoU'][name]) for r in results.records):
            group = next(label for label, most in _IMAGE_GROUPS.items() if share < most)
            groups.setdefault(group, []).append(name)
    methods = (methods or results.methods) if groups else []
    columns = {
        f'{label} ({len(names)})': numbers(
            [_mean_iou(results.trained[method.key], names) for method in methods]
        )
        for label, names in groups.items()
    }
    title = 'Mean IoU (%) by the share of the training images that hold a class (number of classes)'
    return _table(results, title, results.mean, methods, columns)


def cost_table(results: Results, methods: Sequence[Method] | None = None) -> Table:
    """Returns time and peak memory of a training step, also as multiples of the baseline's.

    Without ``methods``, it has those that were trained or whose cost was measured. There are no
    multiples of what was measured on another machine.

    Raises:
        ToolError: If the cost of the baseline was not measured.
    """
    base = results.costs.get(results.plan.baseline)
    if base is None:
        raise ToolError(
            f'the cost of {results.plan.baseline} was not measured; '
            'tools/study.py --stages cost does'
        )
    rows = []
    known = results.costs.keys() | results.trained.keys()
    for method in methods or [m for m in results.plan.methods.values() if m.key in known]:
        cost = results.costs.get(method.key)
        if cost is None:
            rows.append([method.name, *[Number('–', '')] * 4])
            continue
        time = [f'{cost.seconds:.3f}', f'{cost.seconds / base.seconds:.2f}']
        memory = ['–', '–']
        if cost.memory and base.memory:
            memory = [f'{cost.memory:.0f}', f'{cost.memory / base.memory:.2f}']
        if cost.machine != base.machine:
            time[1] = memory[1] = '–'
        rows.append([method.name, *(Number(text, '') for text in time + memory)])
    header = ['method', 's / iteration', '× CE', 'peak memory, MiB', '× CE']
    return Table('Time and memory of the training', header, rows)


def target_table(results: Results, methods: Sequence[Method] | None = None) -> Table:
    """Returns the gains that were expected before the runs and those that were measured.

    Where several parts were held out in turn, the gains over these are shown, too.
    """
    wanted = {method.key for method in methods or [*results.methods, *results.judged]}
    targets = [target for target in results.plan.targets if target.method in wanted]
    known = [target for target in targets if target.score in results.comparison.means]
    rows = [_target_row(results, target) for target in known]
    header = ['method', 'gain of', 'expected', 'measured', 'met']
    header += ['held out', 'met there'] if results.plan.in_turn else []
    return Table(f'Gains over {results.comparison.baseline}', header, rows)


def front_table(results: Results, methods: Sequence[Method] | None = None) -> Table:
    """Returns, for each of the project's methods, the baselines better in both mIoU and mAcc.

    Where several parts were held out in turn, that is on these.
    """
    judged = results.judged
    ours = [method for method in methods or judged if method.ours and method in judged]
    better = {m.name: [other.name for other in results.dominated(m)] for m in ours}
    rows = [[name, '; '.join(names) or 'none'] for name, names in better.items()]
    title = 'Pareto front' + ' on the held-out images' * results.plan.in_turn
    return Table(title, ['method', 'baselines better in both mIoU and mAcc'], rows)


def tuning_table(results: Results, methods: Sequence[Method] | None = None) -> Table:
    """Returns the scores of all values tried on the held-out images; chosen ones are marked."""
    rows = []
    for method in methods or results.plan.methods.values():
        tried = [record for record in results.tuned if record.trial.method == method.key]
        for choice in method.choices():
            means = [record.run.means for record in tried if record.trial.choice == choice]
            if len(means) == len(results.plan.folds):
                best = choice == results.chosen.get(method.key)
                scores = [np.mean([mean[key] for mean in means]) for key in ('mIoU', 'mAcc')]
                cells = [Number(f'{score:.1f}', '', best) for score in scores]
                rows.append([method.name, _in_words(choice), *cells])
    header = ['method', 'value', 'mIoU', 'mAcc']
    return Table('Scores of the held-out images (%)', header, rows)


def left_out_table(results: Results, methods: Sequence[Method] | None = None) -> Table:
    """Returns the scores of the held-out images with the values that were chosen on them.

    Where several parts, such as videos, are held out in turn, the means are over these.
    """
    methods = methods or list(results.plan.methods.values())
    found = {method.name: runs for method in methods if (runs := results.held_out(method))}
    columns = {}
    for part in filter(None, results.plan.parts):
        scores = [Spread.of([runs[part].means['mIoU']]) for runs in found.values()]
        columns[f'mIoU, {part}'] = numbers(scores)
    for key, title in MEANS.items():
        means = [[run.means.get(key, np.nan) for run in runs.values()] for runs in found.values()]
        scores = [Spread.of(values) for values in means]
        columns[title] = [number._replace(std='') for number in numbers(scores)]
    gains = [results.held_out_gain(m, 'mIoU') for m in methods if m.name in found]
    columns['gain of mIoU'] = [number._replace(best=False) for number in numbers(gains, sign='+')]
    rows = zip(found, *columns.values(), strict=True)
    return Table('Held-out images (%)', ['method', *columns], [list(row) for row in rows])


def calibrated_table(results: Results, methods: Sequence[Method] | None = None) -> Table:
    """Returns scores of the validation images without and with offsets of the classes."""
    rows = []
    for method in methods or results.plan.methods.values():
        found = [r.calibrated for r in results.calibrated if r.trial.method == method.key]
        for objective in dict.fromkeys(name for each in found for name in each):
            means = [each[objective] for each in found if objective in each]
            name = objective if len(means) == len(found) else f'{objective} (n = {len(means)})'
            spreads = [Spread.of([mean.get(key, np.nan) for mean in means]) for key in MEANS]
            rows.append([method.name, name, *(numbers([spread])[0] for spread in spreads)])
    return Table('With offsets (%)', ['method', 'offsets for', *MEANS.values()], rows)


TABLES_OF_SEEDS = {
    'summary': summary_table,
    'gains': gain_table,
    'by-images': by_images_table,
    'IoU': partial(class_table, kind='IoU'),
    'recall': partial(class_table, kind='Acc'),
}
"""Functions that make the tables of methods that were trained with the plan's seeds, by name; they
take results and methods (None for all)."""

TABLES = TABLES_OF_SEEDS | {
    'targets': target_table,
    'front': front_table,
    'cost': cost_table,
    'tuning': tuning_table,
    'left-out': left_out_table,
    'calibrated': calibrated_table,
    'equal-recall': equal_recall_table,
}
"""Functions that make all tables, by name; those that are added leave out what was not measured."""


def _mean_iou(records: Sequence[Record], names: Sequence[str]) -> Spread:
    return Spread.of([np.nanmean([r.run.scores['IoU'][name] for name in names]) for r in records])


def _target_row(results: Results, target: Target) -> list[str]:
    method = results.plan.methods[target.method]
    unit = '%' if target.relative else 'points'
    gain, held_out = (
        of(method, target.score, target.relative) for of in (results.gain, results.held_out_gain)
    )
    return [
        _label(results, method, gain.runs) if gain.runs else method.name,
        MEANS[target.score],
        f'≥ {target.least:+.1f} {unit}' + ' - one std' * target.within_std,
        *_reached(target, gain, unit),
        *(_reached(target, held_out, unit) if results.plan.in_turn else []),
    ]


def _reached(target: Target, gain: Spread, unit: str) -> list[str]:
    """Returns a gain in words, and whether it reaches the target."""
    if not gain.runs:
        return ['–', '–']
    spread = '' if np.isnan(gain.std) else f' ± {gain.std:.1f}'
    slack = np.nan_to_num(gain.std) if target.within_std else 0
    met = gain.mean >= target.least - slack
    mean = round(gain.mean, 1) + 0.0  # + 0.0 turns -0 into 0
    return [f'{mean:+.1f}{spread} {unit}', 'yes' if met else 'no']


def _label(results: Results, method: Method, runs: int) -> str:
    """Returns the method's name, with the number of its runs if some are missing."""
    return method.name if runs == len(results.plan.seeds) else f'{method.name} (n = {runs})'


def _in_words(choice: dict[str, object]) -> str:
    return ', '.join(f'{key.rpartition(".")[2]} {value}' for key, value in choice.items())


def _mean_columns(
    results: Results, score: Callable[..., Spread], methods: Sequence[Method], sign: str = ''
) -> dict[str, list[Number]]:
    return {
        title: numbers([score(method, key) for method in methods], sign=sign)
        for key, title in MEANS.items()
        if key in results.comparison.means
    }


def _table(
    results: Results,
    title: str,
    score: Callable[..., Spread],
    methods: Sequence[Method],
    columns: dict[str, list[Number]],
) -> Table:
    names = [_label(results, method, score(method, 'mIoU').runs) for method in methods]
    rows = [[name, *cells] for name, *cells in zip(names, *columns.values(), strict=True)]
    return Table(title, ['method', *columns], rows)
