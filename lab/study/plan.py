"""The plan of a study: methods to train in one setting, with several seeds."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

from mmengine.config import Config

from mmseg_imbalance.utils.command_line import first_line
from mmseg_imbalance.utils.errors import ToolError

STAGES = ('tune', 'train', 'cost', 'calibrate')
"""The stages of a plan, in the order in which they are carried out."""

DEFAULT_STAGES = STAGES[:3]
"""The stages that are carried out unless others are asked for."""

HOLDING_OUT = ('tune', 'calibrate')
"""The stages that hold out a part of the training images."""

MEANS = {
    'mIoU': 'mIoU',
    'mAcc': 'mAcc',
    'aAcc': 'aAcc',
    'mIoU_tail': 'tail IoU',
    'mAcc_tail': 'tail recall',
}
"""The scores that are reported, with their names for readers: means over classes, and aAcc, the
share of all pixels that are right. The mean precision is not among them: it leaves out classes that
are never predicted, so those of two methods can be means over different classes."""

_NAME = re.compile(r'[a-z0-9][a-z0-9.-]*')
_GPUS = re.compile(r'_(\d+)xb\d+')


class PlanError(ToolError):
    """The plan is invalid; the message names the file and what is wrong in it."""


@dataclass(frozen=True)
class Method:
    """A loss, a sampling strategy, or both, with the hyper-parameters to tune.

    Attributes:
        key: Short name, for files.
        name: Name for readers.
        config: Folder and first word of the config, ``'recall_loss/recall'``; the setting follows.
        options: Changes to that config, by dotted key; ``head.`` stands for every head of the
            model.
        grid: Values to choose from, by dotted key, or a list of such grids; the first values are
            the defaults.
        ours: Whether the project is about this method, rather than only compares with it.
    """

    key: str
    name: str
    config: str
    options: dict[str, object] = field(default_factory=dict)
    grid: dict[str, list] | list[dict[str, list]] = field(default_factory=dict)
    ours: bool = False

    @property
    def grids(self) -> list[dict[str, list]]:
        """The grid as a list of grids."""
        grid = self.grid or {}
        return grid if isinstance(grid, list) else [grid]

    def choices(self) -> list[dict[str, object]]:
        """Returns all combinations of values, grid by grid; an empty one if there is no grid."""
        return [
            dict(zip(grid, values, strict=True))
            for grid in self.grids
            for values in product(*grid.values())
        ]


@dataclass(frozen=True)
class Target:
    """A gain over the baseline that a method should reach.

    Attributes:
        method: Key of the method.
        score: One of :data:`MEANS`.
        least: Least gain over the baseline, in percentage points.
        relative: Whether ``least`` is in percent of the baseline's score instead.
        within_std: Whether the gain may fall short by less than its standard deviation.
    """

    method: str
    score: str
    least: float
    relative: bool = False
    within_std: bool = False


@dataclass(frozen=True)
class Trial:
    """One training.

    Attributes:
        stage: One of :data:`STAGES`.
        method: Key of the method.
        seed: Seed of the first weights, of the order of the samples and of augmentation.
        config: Path of the config below ``configs``.
        options: Changes to the config, by dotted key.
        choice: The part of the options that is being tuned.
        hold_out: In the stages of :data:`HOLDING_OUT`, which images are taken from the training
            set.
        amp: Whether to train in mixed precision.
        gpus: Number of processes, each with its own batch.
        augmented: Whether to score the last checkpoint also with test-time augmentation.
    """

    stage: str
    method: str
    seed: int
    config: str
    options: dict[str, object]
    choice: dict[str, object] = field(default_factory=dict)
    hold_out: dict[str, object] = field(default_factory=dict)
    amp: bool = False
    gpus: int = 1
    augmented: bool = True

    @property
    def name(self) -> str:
        """The trial's unique name within its stage, for files."""
        chosen = [f'{key.rpartition(".")[2]}-{value}' for key, value in self.choice.items()]
        fold = [f'without-{self.fold}'] if self.fold else []
        seed = [f'seed{self.seed}'] if self.stage == 'train' else []
        name = '_'.join([self.method, *chosen, *fold, *seed])
        return re.sub(r'[/\\]', '-', name)  # of a value that is a path

    @property
    def training(self) -> 'Trial':
        """The trial that trains the network: itself, or the tuning trial that it calibrates."""
        return replace(self, stage='tune') if self.stage == 'calibrate' else self

    @property
    def fold(self) -> str:
        """What the names of the held-out images begin with; '' if these are not told by it."""
        return str(self.hold_out.get('match', ''))


@dataclass(frozen=True)
class Plan:
    """The methods and the setting of a study.

    Attributes:
        key: Name of the plan's file without suffix.
        title: Name of the data for readers.
        setting: The part after the method in the names of all configs, without ``.py``.
        methods: Methods by key. The first is the baseline: values chosen for it hold for all.
        seeds: Seeds of the ``train`` stage.
        options: Changes to the configs in all trials, by dotted key.
        hold_out: How the validation images for tuning are taken from the training set: the
            arguments of :func:`.hold_out.hold_out`. With a list of ``match``, such as the names of
            videos, every value is tried once for each and judged by the mean.
        amp: Whether to train in mixed precision, as with ``--amp`` of ``tools/train.py``.
        gpus: Number of processes of a training; by default the number in the setting's name.
        augmented: Whether to score also with test-time augmentation.
        highlights: Keys of the methods in the figures of classes and curves.
        targets: Gains that were expected before the runs.
        background: Name of the class that the mean IoU is shown without, too; '' for none.
    """

    key: str
    title: str
    setting: str
    methods: dict[str, Method]
    seeds: list[int]
    options: dict[str, object] = field(default_factory=dict)
    hold_out: dict[str, object] | list[dict[str, object]] = field(default_factory=dict)
    amp: bool = False
    gpus: int = 1
    augmented: bool = True
    highlights: list[str] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    background: str = ''

    @classmethod
    def fromfile(cls, path: str | Path) -> 'Plan':
        """Reads a plan, which is a Python file like a config.

        Raises:
            PlanError: If it is missing, not a config, or has a missing or wrong part.
        """
        path = Path(path)
        if not path.is_file():
            raise PlanError(f'plan not found: {path}')
        try:
            content = Config.fromfile(path).to_dict()
            methods = {key: Method(key, **entry) for key, entry in content.pop('methods').items()}
            named = _GPUS.search(content.get('setting', ''))
            content.setdefault('gpus', int(named[1]) if named else 1)
            targets = [Target(**target) for target in content.pop('targets', [])]
            plan = cls(path.stem, methods=methods, targets=targets, **content)
            problem = next(plan._problems(), None)
        except Exception as error:  # a plan is Python code, which can raise anything
            raise PlanError(f'cannot read plan {path}: {first_line(error)}') from error
        if problem:
            raise PlanError(f'{path}: {problem}')
        return plan

    @property
    def folds(self) -> list[dict[str, object]]:
        """The ways in which images are held out, one after another."""
        return self.hold_out if isinstance(self.hold_out, list) else [self.hold_out]

    @property
    def parts(self) -> list[str]:
        """What the names of the held-out images begin with, one after another; '' if untold."""
        return [str(fold.get('match', '')) for fold in self.folds]

    @property
    def in_turn(self) -> bool:
        """Whether several parts of the training images, such as videos, are held out in turn."""
        return len(self.folds) > 1

    @property
    def baseline(self) -> str:
        """Key of the method that the others are compared with."""
        return next(iter(self.methods))

    def trials(
        self, stage: str, chosen: Mapping[str, Mapping[str, object]] | None = None
    ) -> Iterator[Trial]:
        """Yields the trials of a stage, the most useful ones first.

        A method has no trials if its chosen values make it the same as an earlier method.

        Args:
            stage: One of :data:`STAGES`.
            chosen: The values chosen from the grids, by method. Those of the baseline are also
                needed to tune the other methods. None takes the first values of every grid.

        Yields:
            The trials; those of the first seed come first.
        """
        chosen = chosen or {}
        for seed in self.seeds if stage == 'train' else self.seeds[:1]:
            for method in self.methods.values():
                for choice in self._choices(stage, method, chosen):
                    for fold in self.folds if stage in HOLDING_OUT else [{}]:
                        shared = chosen.get(self.baseline, {})
                        yield self._trial(stage, method, seed, choice, shared, fold)

    def first_alike(self, key: str, chosen: Mapping[str, Mapping[str, object]]) -> str:
        """Returns the key of the first method that equals a method, given the chosen values.

        Args:
            key: Key of the method.
            chosen: As for :meth:`trials`.
        """

        def settings(method: Method) -> tuple[str, dict]:
            choice = _choice(method, chosen)
            trial = self._trial('train', method, 0, choice, chosen.get(self.baseline, {}), {})
            return trial.config, trial.options

        own = settings(self.methods[key])
        return next(other.key for other in self.methods.values() if settings(other) == own)

    def _choices(self, stage: str, method: Method, chosen: Mapping) -> list[dict[str, object]]:
        if stage == 'tune':
            return method.choices() if method.grid else []
        if self.first_alike(method.key, chosen) != method.key:
            return []
        return [_choice(method, chosen)]

    def _trial(
        self, stage: str, method: Method, seed: int, choice: dict, shared: Mapping, fold: Mapping
    ) -> Trial:
        return Trial(
            stage,
            method.key,
            seed,
            f'{method.config}_{self.setting}.py',
            {**self.options, **shared, **method.options, **choice},
            choice if stage in HOLDING_OUT else {},
            dict(fold),
            self.amp,
            self.gpus,
            self.augmented,
        )

    def _values(self) -> Iterator[tuple[str, object]]:
        """Yields all changes to the configs, those of the grids too."""
        yield from self.options.items()
        for method in self.methods.values():
            yield from method.options.items()
            for grid in method.grids:
                yield from (grid.items() if isinstance(grid, dict) else ())

    def _problems(self) -> Iterator[str]:
        if not self.methods:
            yield 'it has no methods'
        whole = all(type(seed) is int and seed >= 0 for seed in self.seeds)
        if not self.seeds or not whole or len(set(self.seeds)) < len(self.seeds):
            yield f'seeds are different whole numbers ≥ 0, got {self.seeds!r}'
        names = [method.name for method in self.methods.values()]
        for method in self.methods.values():
            if not _NAME.fullmatch(method.key):
                yield f'the key {method.key!r} is not a valid file name (a-z, 0-9, ".", "-")'
            if names.count(method.name) > 1:
                yield f'two methods have the name {method.name!r}'
            yield from _grid_problems(method)
        for key, value in self._values():
            if not _is_kept(value):
                yield (
                    f'{key}={value!r} would change in a record, which is JSON: use lists, dicts, '
                    'finite numbers and text, or set it in the config'
                )
        named = {'highlights': self.highlights, 'targets': [t.method for t in self.targets]}
        for part, keys in named.items():
            for key in keys:
                if key not in self.methods:
                    yield f'{part} has {key!r}, which is not a method'
        for target in self.targets:
            if target.score not in MEANS:
                yield f'targets has the score {target.score!r}; there are {", ".join(MEANS)}'
        if any(method.grid for method in self.methods.values()) and not self.hold_out:
            yield 'it has grids, and no hold_out to choose from them with'
        for fold in self.folds:
            yield from _hold_out_problems(**fold)
        if len(set(self.parts)) < len(self.parts):
            yield 'the entries of hold_out have different values of match'


def _choice(method: Method, chosen: Mapping) -> dict[str, object]:
    """Returns the values chosen from a method's grid, or else its first values."""
    return chosen.get(method.key) or method.choices()[0]


def _is_kept(value: object) -> bool:
    try:
        return json.loads(json.dumps(value, allow_nan=False)) == value
    except (TypeError, ValueError):
        return False


def _grid_problems(method: Method) -> Iterator[str]:
    for grid in method.grids:
        if not isinstance(grid, dict):
            yield f'the grid of {method.key} is a dict of lists, or a list of such dicts'
            return
        for key, values in grid.items():
            if not isinstance(values, list) or not values:
                yield f'the grid of {method.key} has no list of values for {key}'


def _hold_out_problems(
    share: object = 0.2, group: object = '', match: object = '', listed: object = '', **unknown
) -> Iterator[str]:
    if unknown:
        yield f'hold_out has {next(iter(unknown))!r}; there are share, group, match and listed'
    if not isinstance(share, float) or not 0 < share < 1:
        yield f'share of hold_out is a number between 0 and 1, got {share!r}'
    if match and not _NAME.fullmatch(str(match).lower()):
        yield f'match of hold_out is in names of files (letters, digits, ".", "-"), got {match!r}'
    if bool(match) + bool(listed) + bool(group) > 1:
        yield 'hold_out has one of match, listed and group'
    if not isinstance(listed, str):
        yield f'listed of hold_out is a file below the data set, got {listed!r}'
    try:
        re.compile(group)
    except (re.error, TypeError) as error:
        yield f'group of hold_out is not a regular expression: {group!r} ({error})'
