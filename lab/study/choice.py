"""Chooses the hyper-parameters of methods from their grids."""

from collections.abc import Sequence

from .plan import Plan, Trial
from .record import Record


def choose(plan: Plan, records: Sequence[Record]) -> dict[str, dict[str, object]]:
    """Chooses the values with the highest mIoU on the held-out images, by method.

    Args:
        plan: The plan.
        records: Records of its tuning, in any order. Records of trials outside the plan, or with
            other values chosen for the baseline, are ignored.

    Returns:
        Values by dotted key, for each method whose choices have all been tried. Among equally good
        choices the first of the grid wins.
    """
    chosen = _choose(plan, records, {}, {plan.baseline})
    return chosen | _choose(plan, records, chosen, set(plan.methods) - {plan.baseline})


def _choose(
    plan: Plan, records: Sequence[Record], chosen: dict, methods: set[str]
) -> dict[str, dict[str, object]]:
    tried: dict[str, list[tuple[float | None, Trial]]] = {}
    for trial in plan.trials('tune', chosen):
        if trial.method in methods:
            found = (r.run.means['mIoU'] for r in records if r.trial == trial)
            tried.setdefault(trial.method, []).append((next(found, None), trial))
    best = {}
    for method, outcomes in tried.items():
        scores = [score for score, _ in outcomes]
        if None not in scores:
            best[method] = outcomes[scores.index(max(scores))][1].choice
    return best
