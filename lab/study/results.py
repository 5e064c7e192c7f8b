"""The records of a study, grouped by method."""

from dataclasses import dataclass, field
from math import nan
from pathlib import Path
from statistics import mean

from mmseg_imbalance.utils.errors import ToolError

from .choice import choose
from .compared_runs import Comparison, Spread, compare_runs, paired_gain
from .plan import Method, Plan
from .record import Record, check_trial, read_records, record_path
from .run import Run


@dataclass(frozen=True)
class Results:
    """The results of a plan.

    Attributes:
        plan: The plan.
        comparison: The runs of the ``train`` stage, grouped by method in the plan's order.
        trained: Records of the ``train`` stage by method, in the same order.
        tuned: Records of the ``tune`` stage.
        chosen: The values chosen from these records, see :func:`choose`.
        costs: Records of the ``cost`` stage by method.
        calibrated: Records of the ``calibrate`` stage.
    """

    plan: Plan
    comparison: Comparison
    trained: dict[str, list[Record]]
    tuned: list[Record] = field(default_factory=list)
    chosen: dict[str, dict[str, object]] = field(default_factory=dict)
    costs: dict[str, Record] = field(default_factory=dict)
    calibrated: list[Record] = field(default_factory=list)

    @classmethod
    def read(cls, plan: Plan, folder: Path) -> 'Results':
        """Reads all records of a plan; records of trials outside the plan are left out.

        Raises:
            ToolError: If the baseline has no record, a record is damaged, or a record outside the
                ``tune`` stage has other settings.
        """
        records = read_records(folder, 'tune')
        chosen = choose(plan, records)
        tuning = list(plan.trials('tune', chosen))
        tuned = [record for record in records if record.trial in tuning]
        by_stage = {}
        for stage in ('train', 'cost', 'calibrate'):
            expected = {trial.name: trial for trial in plan.trials(stage, chosen)}
            by_stage[stage] = [r for r in read_records(folder, stage) if r.trial.name in expected]
            for record in by_stage[stage]:
                path = record_path(folder, record.trial)
                check_trial(record.trial, expected[record.trial.name], path)
        trained = {
            key: [r for r in by_stage['train'] if r.trial.method == key] for key in plan.methods
        }
        trained = {key: found for key, found in trained.items() if found}
        if plan.baseline not in trained:
            raise ToolError(
                f'{folder} has no result of {plan.baseline}; tools/study.py makes them, and '
                '--results says where they are'
            )
        named = [(plan.methods[key].name, r.run) for key, found in trained.items() for r in found]
        comparison = compare_runs(named, plan.methods[plan.baseline].name)
        costs = {r.trial.method: r for r in by_stage['cost']}
        return cls(plan, comparison, trained, tuned, chosen, costs, by_stage['calibrate'])

    @property
    def methods(self) -> list[Method]:
        """The methods that have results."""
        return [self.plan.methods[key] for key in self.trained]

    @property
    def judged(self) -> list[Method]:
        """The methods that have results to be judged by, see :meth:`judged_gain`."""
        if self.plan.in_turn:
            return [method for method in self.plan.methods.values() if self.held_out(method)]
        return self.methods

    @property
    def records(self) -> list[Record]:
        """All records of the ``train`` stage."""
        return [record for records in self.trained.values() for record in records]

    def mean(self, method: Method, key: str, augmented: bool = False) -> Spread:
        """Summarises a mean over classes, such as ``'mIoU_tail'``, over the seeds, in percent."""
        records = self.trained[method.key]
        scores = [record.augmented if augmented else record.run.means for record in records]
        return Spread.of([score[key] for score in scores])

    def gain(self, method: Method, key: str, relative: bool = False) -> Spread:
        """Summarises how far a mean exceeds the baseline's mean with the same seed.

        Args:
            method: The method.
            key: The mean.
            relative: Whether to use percent of the baseline's mean instead of percentage points.
        """
        own, base = (
            {r.trial.seed: r.run.means.get(key, nan) for r in self.trained.get(k, ())}
            for k in (method.key, self.plan.baseline)
        )
        return paired_gain(own, base, relative)

    def judged_gain(self, method: Method, key: str) -> Spread:
        """Summarises the gain of a mean by which a method is judged, in percentage points.

        It is the gain over the seeds. Where several parts of the training images, such as whole
        videos, were held out in turn, it is the gain over these parts, which show other scenes than
        those that the network was trained on.
        """
        return (self.held_out_gain if self.plan.in_turn else self.gain)(method, key)

    def held_out_gain(self, method: Method, key: str, relative: bool = False) -> Spread:
        """Summarises the gain of a mean of the held-out images over their parts."""
        own, base = (
            {part: run.means.get(key, nan) for part, run in self.held_out(m).items()}
            for m in (method, self.plan.methods[self.plan.baseline])
        )
        return paired_gain(own, base, relative)

    def held_out(self, method: Method) -> dict[str, Run]:
        """Returns a method's runs with the chosen values, by what the held-out images begin with.

        They are in the plan's order; there are none before the baseline and the method are chosen
        and the method's score on every part is known.
        """
        if not {method.key, self.plan.baseline} <= self.chosen.keys():
            return {}
        found = {record.trial.fold: record.run for record in self.tuned_as_chosen(method.key)}
        parts = self.plan.parts
        return {part: found[part] for part in parts} if found.keys() >= set(parts) else {}

    def tuned_as_chosen(self, key: str) -> list[Record]:
        """Returns the records of the ``tune`` stage with a method's chosen values."""
        choice = self.chosen.get(key)
        return [r for r in self.tuned if (r.trial.method, r.trial.choice) == (key, choice)]

    def tradeoffs(self, method: Method) -> dict[str, list[dict[str, float]]]:
        """Returns the means of the held-out images over tau, by what these begin with.

        There are none before the baseline and the method are calibrated on every part.
        """
        names = self.plan.parts
        found = {(r.trial.method, r.trial.fold): r.tradeoff for r in self.calibrated}
        if not all(found.get((key, n)) for key in (self.plan.baseline, method.key) for n in names):
            return {}
        return {name: found[method.key, name] for name in names}

    def dominated(self, method: Method) -> list[Method]:
        """Returns the baselines with higher mIoU and higher mean accuracy (the Pareto front).

        Methods are compared by what :meth:`judged_gain` judges them by.
        """
        own = self._point(method)
        others = [other for other in self.judged if not other.ours and other is not method]
        return [o for o in others if all(a > b for a, b in zip(self._point(o), own, strict=True))]

    def _point(self, method: Method) -> tuple[float, ...]:
        if not self.plan.in_turn:
            return tuple(self.mean(method, key).mean for key in ('mAcc', 'mIoU'))
        runs = self.held_out(method).values()
        return tuple(mean(run.means[key] for run in runs) for key in ('mAcc', 'mIoU'))
