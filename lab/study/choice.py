"""Which values of its grid a method gets."""

from collections.abc import Sequence

from .plan import Plan, Trial
from .record import Record


def choose(plan: Plan, records: Sequence[Record]) -> dict[str, dict[str, object]]:
    """The values with the highest mIoU on the held-out images, by method.

    Args:
        plan: The plan.
        records: Of its tuning, in any order. Those of trials that are not the plan's, or were made
            with something else chosen for the baseline, do not count.

    Returns:
        Values by dotted key, for the methods all of whose choices have been tried. Of equally good
        ones the first of the grid counts.
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
