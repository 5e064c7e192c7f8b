"""Compares runs: groups repetitions into methods, with means and spreads over them."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .run import KINDS, Run, nan_to_none

_CROSS_ENTROPY = re.compile(r'(ce|cross[-_ ]?entropy)(_.*)?', re.IGNORECASE)
_FIRST = ('mIoU', 'mAcc', 'aAcc')


class NotComparableError(ValueError):
    """Runs were scored on different data; the message names two runs and the difference."""


class Spread(NamedTuple):
    """Mean and standard deviation of a score over repetitions.

    Attributes:
        mean: The mean over the repetitions that define the score; NaN if none does.
        std: The sample standard deviation (divisor n - 1) over them; NaN for fewer than two.
        runs: Number of repetitions that define the score.
    """

    mean: float
    std: float
    runs: int

    @classmethod
    def of(cls, values: Sequence[float]) -> 'Spread':
        """Summarises the values of repetitions.

        Example:
            >>> Spread.of([1, 3, float('nan')])
            Spread(mean=2.0, std=1.4142135623730951, runs=2)
        """
        known = np.array([value for value in values if not np.isnan(value)], float)
        mean = float(known.mean()) if known.size else float('nan')
        std = float(known.std(ddof=1)) if known.size > 1 else float('nan')
        return cls(mean, std, known.size)

    def __sub__(self, other: 'Spread') -> 'Spread':
        """Subtracts independent scores; the variances add up, and are NaN unless both are known."""
        std = float(np.hypot(self.std, other.std))
        return Spread(self.mean - other.mean, std, min(self.runs, other.runs))


@dataclass(frozen=True)
class RunGroup:
    """Runs of one method that differ in their seeds."""

    name: str
    runs: list[Run]

    def mean(self, key: str) -> Spread:
        """Summarises a mean over classes, such as ``'mIoU'``, in percent."""
        return Spread.of([run.means[key] for run in self.runs])

    def score(self, kind: str, name: str) -> Spread:
        """Summarises the score of a kind (:data:`KINDS`) of the class ``name``, in percent."""
        return Spread.of([run.scores[kind][name] for run in self.runs])

    def detail(self, key: str) -> str:
        """Returns a detail of the settings; several values if runs differ, '?' if unknown."""
        return ' / '.join(dict.fromkeys(str(run.details.get(key, '?')) for run in self.runs))


@dataclass(frozen=True)
class Comparison:
    """A comparison of methods that were validated on the same data.

    Args:
        methods: The methods, in the order of the tables.
        baseline: Name of the method that the others are compared with.
        left_out: Path and reason for every run that could not be read.
        warnings: Caveats about the numbers.

    Raises:
        NotComparableError: If the runs were validated on different data or classes.
    """

    methods: list[RunGroup]
    baseline: str
    left_out: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        first, *others = self.runs
        for run in others:
            _check_comparable(first, run)

    @property
    def runs(self) -> list[Run]:
        """The runs of all methods."""
        return [run for method in self.methods for run in method.runs]

    @property
    def base(self) -> RunGroup:
        """The baseline."""
        return next(method for method in self.methods if method.name == self.baseline)

    @property
    def others(self) -> list[RunGroup]:
        """All methods except the baseline."""
        return [method for method in self.methods if method.name != self.baseline]

    @property
    def means(self) -> list[str]:
        """Names of the means that all runs have, the usual ones first."""
        shared = [key for key in self.runs[0].means if all(key in run.means for run in self.runs)]
        return sorted(shared, key=lambda key: _FIRST.index(key) if key in _FIRST else len(_FIRST))

    @property
    def share_of(self) -> str | None:
        """The pixels that :meth:`shares` refers to: training or evaluated ones, None if unknown.

        Shares of training pixels are taken from the first run that has them.
        """
        if any(run.training_share for run in self.runs):
            return 'training pixels'
        return 'evaluated pixels' if any(run.pixels for run in self.runs) else None

    def shares(self) -> dict[str, float | None]:
        """Returns the classes from tail to head, with their shares of the pixels in percent.

        If no run has shares, they are None and the classes are in the data set's order.
        """
        if self.share_of is None:
            return dict.fromkeys(self.runs[0].classes)
        if self.share_of == 'training pixels':
            share = next(run.training_share for run in self.runs if run.training_share)
        else:
            pixels = next(run.pixels for run in self.runs if run.pixels)
            share = {name: 100 * n / sum(pixels.values()) for name, n in pixels.items()}
        return dict(sorted(share.items(), key=lambda item: item[1]))

    def image_shares(self) -> dict[str, float]:
        """Returns the percentage of the training images that hold a class, if a run has it."""
        return next((run.image_share for run in self.runs if run.image_share), {})

    def difference(self, method: RunGroup, kind: str, name: str) -> Spread:
        """Summarises how far a class's score exceeds the baseline's, in percentage points.

        Runs with the same seed are compared with each other if every run of the method or of the
        baseline has one such partner; else the means over all runs are.
        """
        own, base = (
            {run.seed: run.scores[kind][name] for run in group.runs if run.seed is not None}
            for group in (method, self.base)
        )
        shared = own.keys() & base.keys()
        unique = (len(own), len(base)) == (len(method.runs), len(self.base.runs))
        if unique and len(shared) in (len(own), len(base)):
            return paired_gain(own, base)
        return method.score(kind, name) - self.base.score(kind, name)

    def to_json(self) -> str:
        """Returns the scores of every run and all results computed from them; NaN become null."""
        shares = self.shares()
        content = {
            'baseline': self.baseline,
            'share_of': self.share_of,
            'classes': [{'class': name, 'share %': share} for name, share in shares.items()],
            'methods': [self._method_dict(method) for method in self.methods],
            'left_out': [list(entry) for entry in self.left_out],
            'warnings': self.warnings,
        }
        return json.dumps(content, ensure_ascii=False, allow_nan=False, indent=1) + '\n'

    def _method_dict(self, method: RunGroup) -> dict:
        shares = self.shares()
        scores = {
            kind: {name: method.score(kind, name)._asdict() for name in shares} for kind in KINDS
        }
        differences = {
            kind: {name: self.difference(method, kind, name)._asdict() for name in shares}
            for kind in KINDS
        }
        return {
            'name': method.name,
            'means': nan_to_none({key: method.mean(key)._asdict() for key in self.means}),
            'scores': nan_to_none(scores),
            'differences': nan_to_none(differences) if method.name != self.baseline else {},
            'runs': [run.to_dict() for run in method.runs],
        }


def compare_runs(
    runs: Sequence[tuple[str | None, Run]],
    baseline: str | None = None,
    left_out: Sequence[tuple[str, str]] = (),
) -> Comparison:
    """Groups runs into methods and compares the methods.

    Runs with the same given name form a method, as do runs without a name whose settings are equal.
    A method without a name is named after its config, up to the first '_', if this distinguishes
    all methods; else after the whole config name, else after the work dir.

    Args:
        runs: At least one pair of a name (or None) and a run.
        baseline: Name of a method. None: the method named like cross-entropy, or else the first.
        left_out: Path and reason for every run that could not be read.

    Raises:
        NotComparableError: If the runs were validated on different data or classes.
        ValueError: If no method has the baseline's name.
    """
    groups: list[tuple[str | None, list[Run]]] = []
    for name, run in runs:
        for other, members in groups:
            if name == other and (name is not None or run.settings == members[0].settings):
                members.append(run)
                break
        else:
            groups.append((name, [run]))
    methods = _named(groups)
    names = [method.name for method in methods]
    if baseline is None:
        baseline = next(filter(_CROSS_ENTROPY.fullmatch, names), names[0])
    elif baseline not in names:
        raise ValueError(f'there is no method {baseline!r} to compare with: {", ".join(names)}')
    warnings = [warning for method in methods for warning in _warnings(method)]
    return Comparison(methods, baseline, list(left_out), warnings)


def paired_gain(own: Mapping, base: Mapping, relative: bool = False) -> Spread:
    """Summarises the differences of scores that have the same key, such as a seed, in both.

    Args:
        own: Scores of a method.
        base: Scores of the baseline.
        relative: Whether to use percent of the baseline's mean instead of percentage points.
    """
    shared = sorted(base.keys() & own.keys())
    unit = Spread.of([base[key] for key in shared]).mean / 100 if relative else 1
    return Spread.of([(own[key] - base[key]) / unit for key in shared])


def _named(groups: list[tuple[str | None, list[Run]]]) -> list[RunGroup]:
    for name_of in (
        lambda run: run.config.partition('_')[0],
        lambda run: run.config,
        lambda run: Path(run.work_dir).name,
        lambda run: run.work_dir,
    ):
        names = [name or name_of(runs[0]) for name, runs in groups]
        if all(names) and len(set(names)) == len(names):
            break
    return [RunGroup(name, runs) for name, (_, runs) in zip(names, groups, strict=True)]


def _warnings(method: RunGroup) -> list[str]:
    """Lists reasons why runs of a method are not repetitions with different seeds."""
    warnings = []
    first, *others = method.runs
    for run in others:
        differing = sorted(
            key
            for key in first.settings.keys() | run.settings.keys()
            if first.settings.get(key) != run.settings.get(key)
        )
        if differing:
            listed = ', '.join(differing[:3]) + (', …' if len(differing) > 3 else '')
            warnings.append(
                f'{first.work_dir} and {run.work_dir} are both {method.name}, but differ in '
                f'{len(differing)} settings: {listed}'
            )
    for one, two in combinations(method.runs, 2):
        if one.seed is not None and one.seed == two.seed and one.settings == two.settings:
            warnings.append(
                f'{one.work_dir} and {two.work_dir} have the seed {one.seed} and equal settings: '
                'they are no independent runs, and the standard deviation is too small'
            )
    return warnings


def _check_comparable(one: Run, two: Run) -> None:
    """Checks that two runs share classes and data, by pixel counts or, without them, by paths."""
    if set(one.classes) != set(two.classes):
        difference = [
            f'{len(run.classes)} classes, {_listed(set(run.classes) - set(other.classes))}'
            for run, other in ((one, two), (two, one))
        ]
    elif one.data['type'] != two.data['type']:
        difference = [str(run.data['type']) for run in (one, two)]
    elif one.pixels and two.pixels:
        name = next((n for n in one.pixels if one.pixels[n] != two.pixels[n]), None)
        difference = name and [f'{run.pixels[name]:.0f} pixels of {name}' for run in (one, two)]
    else:
        difference = one.data != two.data and [
            ', '.join(f'{key} {value}' for key, value in run.data.items()) for run in (one, two)
        ]
    if difference:
        raise NotComparableError(
            f'the runs were validated on different data: {one.work_dir} ({difference[0]}) and '
            f'{two.work_dir} ({difference[1]}); compare them apart'
        )


def _listed(names: set[str]) -> str:
    if not names:
        return 'none of its own'
    shown = sorted(names)[:3]
    return f'among them {", ".join(shown)}' + (', …' if len(names) > 3 else '')
