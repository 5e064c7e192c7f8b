"""What a study trains: methods, in one setting, over several seeds."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from mmengine.config import Config

from ..command_line import ToolError, first_line

STAGES = ('tune', 'train', 'cost')
_NAME = re.compile(r'[a-z0-9][a-z0-9.-]*')


class PlanError(ToolError):
    """A plan that cannot be followed; names the file and what is wrong in it."""


@dataclass(frozen=True)
class Method:
    """A loss, a sampling, or both, with what is to be tuned of them.

    Attributes:
        key: Short name, for files.
        name: Name for readers.
        config: Folder and first word of the config, ``'recall_loss/recall'``; the setting follows.
        options: What differs from that config, by dotted key; ``head.`` stands for every head of
            the model.
        grid: Values to choose from, by dotted key; the first ones are the defaults.
        ours: Whether the project exists for it, rather than to compare with it.
    """

    key: str
    name: str
    config: str
    options: dict[str, object] = field(default_factory=dict)
    grid: dict[str, list] = field(default_factory=dict)
    ours: bool = False

    def choices(self) -> list[dict[str, object]]:
        """All combinations of the grid's values, one empty one without a grid."""
        return [
            dict(zip(self.grid, values, strict=True)) for values in product(*self.grid.values())
        ]


@dataclass(frozen=True)
class Target:
    """A gain over the baseline that a method shall have.

    Attributes:
        method: Key of the method.
        score: A mean over classes, such as ``'mIoU_tail'``.
        least: How much the gain over the baseline has to be, in percentage points.
        relative: Whether ``least`` is in percent of the baseline's score instead.
        within_std: Whether a gain that is smaller by less than its standard deviation will do.
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
        options: What differs from it, by dotted key.
        choice: The part of the options that is being tuned.
    """

    stage: str
    method: str
    seed: int
    config: str
    options: dict[str, object]
    choice: dict[str, object] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its name among the trials of its stage, for files."""
        chosen = [f'{key.rpartition(".")[2]}-{value}' for key, value in self.choice.items()]
        seed = [f'seed{self.seed}'] if self.stage == 'train' else []
        return '_'.join([self.method, *chosen, *seed])


@dataclass(frozen=True)
class Plan:
    """The methods and the setting of a study.

    Attributes:
        key: Name of the plan's file without suffix.
        title: Name of the data for readers.
        setting: What follows the method in the names of all configs, without ``.py``.
        methods: By key. The first is the baseline: what is chosen for it holds for all.
        seeds: Those of the ``train`` stage.
        options: What differs from the configs in all trials, by dotted key.
        hold_out: How the validation images of the tuning are taken from the training set, see
            :func:`.hold_out.hold_out`.
        amp: Whether to train in mixed precision, ``--amp`` of ``tools/train.py``.
        highlights: Keys of the methods that figures show.
        targets: What was expected before the runs.
    """

    key: str
    title: str
    setting: str
    methods: dict[str, Method]
    seeds: list[int]
    options: dict[str, object] = field(default_factory=dict)
    hold_out: dict[str, object] = field(default_factory=dict)
    amp: bool = False
    highlights: list[str] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)

    @classmethod
    def fromfile(cls, path: str | Path) -> 'Plan':
        """Reads a plan, a Python file as configs are.

        Raises:
            PlanError: It is missing, no config, or lacks or mistakes a part.
        """
        path = Path(path)
        if not path.is_file():
            raise PlanError(f'plan not found: {path}')
        try:
            content = Config.fromfile(path).to_dict()
            methods = {key: Method(key, **entry) for key, entry in content.pop('methods').items()}
            targets = [Target(**target) for target in content.pop('targets', [])]
            plan = cls(path.stem, methods=methods, targets=targets, **content)
        except Exception as error:  # a plan is Python: it can fail in every way
            raise PlanError(f'cannot read plan {path}: {first_line(error)}') from error
        plan._check(path)
        return plan

    @property
    def baseline(self) -> str:
        """Key of the method that the others are compared with."""
        return next(iter(self.methods))

    def trials(
        self, stage: str, chosen: Mapping[str, Mapping[str, object]] | None = None
    ) -> Iterator[Trial]:
        """The trials of a stage in the order in which they are of use.

        Args:
            stage: One of :data:`STAGES`.
            chosen: By method what was chosen of its grid; of the baseline's it is needed for
                tuning the others too. None for the first values of every grid.

        Yields:
            The trials; those of the first seed come first.
        """
        chosen = chosen or {}
        for seed in self.seeds if stage == 'train' else self.seeds[:1]:
            for method in self.methods.values():
                shared = {**self.options, **chosen.get(self.baseline, {}), **method.options}
                if stage == 'tune':
                    choices = method.choices() if method.grid else []
                else:
                    choices = [chosen.get(method.key) or method.choices()[0]]
                for choice in choices:
                    yield Trial(
                        stage,
                        method.key,
                        seed,
                        f'{method.config}_{self.setting}.py',
                        {**shared, **choice},
                        choice if stage == 'tune' else {},
                    )

    def _check(self, path: Path) -> None:
        named = {'highlights': self.highlights, 'targets': [t.method for t in self.targets]}
        problems = [
            f'{part} has {key!r}, which is no method'
            for part, keys in named.items()
            for key in keys
            if key not in self.methods
        ]
        problems += [
            f'the key {key!r} is no name for a file (a-z, 0-9, ".", "-")'
            for key in self.methods
            if not _NAME.fullmatch(key)
        ]
        if not self.methods:
            problems.append('it has no methods')
        if not self.seeds or not all(type(s) is int and s >= 0 for s in self.seeds):
            problems.append(f'seeds are whole numbers ≥ 0, got {self.seeds!r}')
        for method in self.methods.values():
            for key, values in method.grid.items():
                if not isinstance(values, list) or not values:
                    problems.append(f'the grid of {method.key} has no list of values for {key}')
        if not self.hold_out and any(method.grid for method in self.methods.values()):
            problems.append('it has grids, and no hold_out to choose from them with')
        if problems:
            raise PlanError(f'{path}: {problems[0]}')
