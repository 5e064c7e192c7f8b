"""What is kept of a trial: the scalars of its logs, in a small file."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from mmseg_imbalance.utils.command_line import first_line
from mmseg_imbalance.utils.errors import ToolError
from mmseg_imbalance.utils.files import read_bytes, write_atomically

from .plan import Trial
from .run import Run, nan_to_none, none_to_nan

_MAX_BYTES = 4 << 20


@dataclass(frozen=True)
class Record:
    """A trial and what came out of it.

    Attributes:
        trial: What was trained.
        command: The command that trains it, as typed in a checkout; '' for a tuning, which trains
            on a list of images of its own.
        machine: Device and versions.
        seconds: Median time of an iteration; None where it was not measured.
        memory: Peak memory in MiB: of the GPU, or else the resident set of the process. None where
            it was not measured or is not known.
        run: Scores of the last checkpoint, single scale, with the curve of the loss. None where it
            was not scored.
        augmented: Means in percent with test-time augmentation, empty where it was not scored so.
    """

    trial: Trial
    command: str
    machine: dict[str, str]
    seconds: float | None = None
    memory: float | None = None
    run: Run | None = None
    augmented: dict[str, float] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        """Writes ``<stage>/<trial>.json``, completely or not at all, and returns its path."""
        content = asdict(self)
        if self.run is not None:
            curve = zip(*self.run.curves.get('loss', ((), ())), strict=True)
            content['run'] = self.run.to_dict()
            content['loss'] = [[int(s), _number(v)] for s, v in curve]
        content['augmented'] = nan_to_none(self.augmented)
        path = record_path(folder, self.trial)
        text = json.dumps(content, allow_nan=False, ensure_ascii=False, indent=1)
        write_atomically(path, (text + '\n').encode())
        return path

    @classmethod
    def read(cls, path: Path) -> 'Record':
        """Reads a file that :meth:`write` wrote.

        Raises:
            ToolError: It is damaged; names it.
            OSError: It cannot be read.
        """
        try:
            content = json.loads(read_bytes(path, _MAX_BYTES))
            content['trial'] = Trial(**content['trial'])
            content['augmented'] = none_to_nan(content['augmented'])
            loss = content.pop('loss', [])
            if content['run'] is not None:
                run = Run.from_dict(content['run'])
                if loss:
                    run.curves['loss'] = tuple(np.array(loss, float).T)
                content['run'] = run
            return cls(**content)
        except OSError:
            raise
        except Exception as error:  # JSON can hold anything
            raise ToolError(f'{path} is damaged: {first_line(error)}') from error


def record_path(folder: Path, trial: Trial) -> Path:
    """Where the record of a trial lies below the folder of a study's results."""
    return folder / trial.stage / f'{trial.name}.json'


def find_record(folder: Path, trial: Trial) -> Record | None:
    """The record of a trial, None if it has not ended yet.

    Raises:
        ToolError: There is one of a trial with other settings, or it is damaged.
    """
    path = record_path(folder, trial)
    if not path.is_file():
        return None
    record = Record.read(path)
    check_trial(record.trial, trial, path)
    return record


def read_records(folder: Path, stage: str) -> list[Record]:
    """All records of a stage, sorted by name."""
    return [Record.read(path) for path in sorted((folder / stage).glob('*.json'))]


def check_trial(found: Trial, trial: Trial, path: Path) -> None:
    """Makes sure that what was found at a path is of the trial that is meant.

    Raises:
        ToolError: It is not; names the first difference.
    """
    if found != trial:
        one, two = _items(found), _items(trial)
        key = next(key for key in [*two, *one] if one.get(key) != two.get(key))
        raise ToolError(
            f'{path} is of other settings ({key}={one.get(key)}, now {two.get(key)}); delete it, '
            'or choose another folder'
        )


def _items(trial: Trial) -> dict[str, object]:
    content = asdict(trial)
    return {**content.pop('options'), **content}


def _number(value: float) -> float | None:
    """As JSON knows it; None for what is not finite."""
    return round(float(value), 5) if np.isfinite(value) else None
