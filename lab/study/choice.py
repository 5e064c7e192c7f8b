"""Chooses the hyper-parameters of methods from their grids."""

from collections.abc import Sequence
from statistics import fmean

from .plan import Plan
from .record import Record


def choose(plan: Plan, records: Sequence[Record]) -> dict[str, dict[str, object]]:
    """Chooses the values with the highest mIoU on the held-out images, by method.

    Where images are held out in several ways, the mean of their mIoU decides.

    Args:
        plan: The plan.
        records: Records of its tuning, in any order. Records of trials outside the plan, or with
            other values chosen for the baseline, are ignored.

    Returns:
        Values by dotted key, for each method whose choices have all been tried, or that has only
        one. Among equally good choices the first of the grid wins.
    """
    chosen = _choose(plan, records, {}, {plan.baseline})
    return chosen | _choose(plan, records, chosen, set(plan.methods) - {plan.baseline})


def _choose(
    plan: Plan, records: Sequence[Record], chosen: dict, methods: set[str]
) -> dict[str, dict[str, object]]:
    trials = [trial for trial in plan.trials('tune', chosen) if trial.method in methods]
    best, folds = {}, len(plan.folds)  # the trials of a choice follow one another
    for method in dict.fromkeys(trial.method for trial in trials):
        own = [trial for trial in trials if trial.method == method]
        if len(own) == folds:
            best[method] = own[0].choice
            continue
        scores = [next((r.run.means['mIoU'] for r in records if r.trial == t), None) for t in own]
        if None in scores:
            continue
        means = [fmean(scores[i : i + folds]) for i in range(0, len(scores), folds)]
        best[method] = own[means.index(max(means)) * folds].choice
    return best
