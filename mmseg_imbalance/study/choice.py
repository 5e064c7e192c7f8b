"""Which values of its grid a method gets."""

from .plan import Plan
from .record import Record


def choose(plan: Plan, records: list[Record]) -> dict[str, dict[str, object]]:
    """The values with the highest mIoU on the held-out images, by method.

    Args:
        plan: The plan.
        records: Of its tuning, in any order.

    Returns:
        Values by dotted key, for the methods all of whose choices have been tried. Of equally good
        ones the first of the grid counts.
    """
    scores = {(r.trial.method, _key(r.trial.choice)): r.run.means['mIoU'] for r in records}
    chosen = {}
    for method in plan.methods.values():
        choices = [choice for choice in method.choices() if choice]
        tried = [scores.get((method.key, _key(choice))) for choice in choices]
        if choices and None not in tried:
            chosen[method.key] = choices[tried.index(max(tried))]
    return chosen


def _key(choice: dict[str, object]) -> tuple:
    return tuple(sorted(choice.items()))
