"""Small files that record the results of trials: the scalars of their logs."""

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
    """A trial and its results.

    Attributes:
        trial: The trial.
        command: The command that trains it, as typed in a checkout; '' for a tuning trial, which
            trains on a separate list of images.
        machine: Device and versions.
        seconds: Median time of an iteration; None if not measured.
        memory: Peak memory in MiB, of the GPU or, without one, the resident set of the process.
            None if not measured or not known.
        run: Single-scale scores of the last checkpoint, with the loss curve; None if not scored.
        augmented: Means in percent with test-time augmentation; empty if not scored with it.
        calibrated: Means in percent of the validation images without offsets of the classes and
            with those found on the held-out images, see :mod:`.calibrate`; empty in other stages.
        tradeoff: Means in percent of the held-out images for every tau, as
            ``calibrate_classes.py`` writes them; empty in other stages.
    """

    trial: Trial
    command: str
    machine: dict[str, str]
    seconds: float | None = None
    memory: float | None = None
    run: Run | None = None
    augmented: dict[str, float] = field(default_factory=dict)
    calibrated: dict[str, dict[str, float]] = field(default_factory=dict)
    tradeoff: list[dict[str, float]] = field(default_factory=list)

    def write(self, folder: Path) -> Path:
        """Writes ``<stage>/<trial>.json``, completely or not at all, and returns its path."""
        content = asdict(self)
        if self.run is not None:
            curve = zip(*self.run.curves.get('loss', ((), ())), strict=True)
            content['run'] = self.run.to_dict()
            content['loss'] = [[int(s), _number(v)] for s, v in curve]
        for key in ('augmented', 'calibrated'):
            content[key] = nan_to_none(content[key])
        path = record_path(folder, self.trial)
        text = json.dumps(content, allow_nan=False, ensure_ascii=False, indent=1)
        write_atomically(path, (text + '\n').encode())
        return path

    @classmethod
    def read(cls, path: Path) -> 'Record':
        """Reads a file written by :meth:`write`.

        Raises:
            ToolError: If the file is damaged; the message names it.
            OSError: If the file cannot be read.
        """
        try:
            content = json.loads(read_bytes(path, _MAX_BYTES))
            content['trial'] = Trial(**content['trial'])
            for key in {'augmented', 'calibrated'} & content.keys():
                content[key] = none_to_nan(content[key])
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
    """Returns the path of a trial's record in the folder of a study's results."""
    return folder / trial.stage / f'{trial.name}.json'


def find_record(folder: Path, trial: Trial) -> Record | None:
    """Returns the record of a trial, or None if the trial has not ended yet.

    Raises:
        ToolError: If the record is damaged or belongs to a trial with other settings.
    """
    path = record_path(folder, trial)
    if not path.is_file():
        return None
    record = Record.read(path)
    check_trial(record.trial, trial, path)
    return record


def read_records(folder: Path, stage: str) -> list[Record]:
    """Reads all records of a stage, sorted by name."""
    return [Record.read(path) for path in sorted((folder / stage).glob('*.json'))]


def check_trial(found: Trial, trial: Trial, path: Path) -> None:
    """Checks that the trial found at a path is the expected one.

    Raises:
        ToolError: If it is not; the message names the first difference.
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
    """Converts a number for JSON; a number that is not finite becomes None."""
    return round(float(value), 5) if np.isfinite(value) else None
