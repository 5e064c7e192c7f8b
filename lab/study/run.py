"""Reads a finished training from its ``run.json``."""

import json
import math
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from mmseg_imbalance.hooks.run_summary_hook import FILE_NAME
from mmseg_imbalance.utils.command_line import first_line, one_line
from mmseg_imbalance.utils.files import read_bytes
from mmseg_imbalance.utils.run_config import newest_config

from .run_settings import readable_details, training_settings, validation_data

KINDS = ('IoU', 'Acc')
"""The scores of each class that are compared; ``'Acc'`` is the recall."""

_MAX_BYTES = 64 << 20


class RunError(ValueError):
    """The run cannot be compared; the message says why and what to do."""


@dataclass(frozen=True)
class Run:
    """A finished training.

    Attributes:
        work_dir: Its folder, for readers: characters that are not text are escaped.
        config: Name of its config file without suffix, '' if the config was made in Python.
        seed: Seed of its random numbers.
        data: Its validation data: ``'type'`` and, if set, ``'ann_file'`` and paths.
        unit: Unit of its length, ``'iteration'`` or ``'epoch'``.
        length: Its length in iterations or epochs.
        details: Network, optimizer, lr, batch size of a process, length in words and number of
            processes, for readers.
        means: Means of the last validation in percent, ``'mIoU'`` and so on.
        scores: Scores of the last validation in percent, by kind (:data:`KINDS`) and class; NaN
            where undefined.
        pixels: Evaluated pixels by class, None if not recorded.
        training_share: Share of the training pixels by class in percent, None if not recorded.
        image_share: Percentage of the training images that hold a class, None if not recorded.
        settings: Settings that determine the training, apart from its seed, by dotted key. Runs
            with equal settings are repetitions of one another.
        curves: Steps (n,) and values (n,) of ``'loss'`` and the means. Steps are iterations for the
            loss and in :attr:`unit` for the means.
    """

    work_dir: str
    config: str
    seed: int | None
    data: dict[str, object]
    unit: str
    length: int
    details: dict[str, object]
    means: dict[str, float]
    scores: dict[str, dict[str, float]]
    pixels: dict[str, int] | None
    training_share: dict[str, float] | None
    image_share: dict[str, float] | None = None
    settings: dict[str, object] = field(default_factory=dict)
    curves: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    @property
    def classes(self) -> list[str]:
        """Names of the classes in the order of the run's own table."""
        return list(self.scores['IoU'])

    def to_dict(self) -> dict:
        """Converts the run for JSON, without settings and curves; NaN become None."""
        kept = asdict(self) | {'scores': nan_to_none(self.scores), 'means': nan_to_none(self.means)}
        return {key: value for key, value in kept.items() if key not in ('settings', 'curves')}

    @classmethod
    def from_dict(cls, content: Mapping) -> 'Run':
        """Restores a run from :meth:`to_dict`, without settings and curves."""
        known = {key: none_to_nan(content[key]) for key in ('means', 'scores')}
        return cls(**(dict(content) | known))


def read_run(work_dir: str | Path) -> Run:
    """Reads a finished training from the ``run.json`` that :class:`RunSummaryHook` wrote.

    Args:
        work_dir: The folder of a training.

    Raises:
        RunError: If the file is missing or damaged, or the training is not finished or has no
            class scores.
        OSError: If the file cannot be read.
    """
    work_dir = Path(work_dir)
    if not work_dir.is_dir():
        raise RunError('there is no such folder')
    file = work_dir / FILE_NAME
    if not file.is_file():
        raise RunError(f'it has no {FILE_NAME}, which RunSummaryHook writes; {_way_out(work_dir)}')
    try:
        summary = json.loads(read_bytes(file, _MAX_BYTES))
        run = _run(work_dir, summary)
        finished, reached = summary['finished'], f'{summary["unit"]} {summary["reached"]}'
    except OSError:
        raise
    except Exception as error:  # JSON can hold anything, and be nested too deeply
        raise RunError(f'{file} is damaged: {first_line(error)}; {_way_out(work_dir)}') from error
    if not finished:
        raise RunError(
            f'not finished: recorded up to {reached} of {summary["length"]}; {_way_out(work_dir)}'
        )
    if not run.means:
        raise RunError('it was not validated at its end, as its config has it')
    if not run.scores['IoU']:
        raise RunError(
            'it has no scores of its classes, which only ImbalanceMetric records; '
            f'{_way_out(work_dir)} --cfg-options val_evaluator._delete_=True '
            'val_evaluator.type=ImbalanceMetric'
        )
    return run


def _way_out(work_dir: Path) -> str:
    """The command that trains what is missing of a run, validates it and writes its file."""
    if not (work_dir / 'last_checkpoint').is_file():
        return 'it has no checkpoint either: train it with tools/train.py'
    config, folder = (
        shlex.quote(str(path)) for path in (newest_config(work_dir) or 'CONFIG', work_dir)
    )
    return f'finish and score it with tools/train.py {config} --work-dir {folder} --resume'


def _run(work_dir: Path, summary: Mapping) -> Run:
    settings, scores = summary['settings'], summary['scores'] or {'means': {}, 'classes': []}
    rows, processes = scores['classes'], ', then '.join(map(str, summary['processes']))
    described = {'length': f'{summary["reached"]} {summary["unit"]}s', 'processes': processes}
    return Run(
        work_dir=one_line(str(work_dir)),
        config=one_line(summary['config']),
        seed=summary['seed'],
        data=validation_data(settings),
        unit=summary['unit'],
        length=summary['length'],
        details=readable_details(settings) | described,
        means=none_to_nan(scores['means']),
        scores={kind: _column(rows, kind) for kind in KINDS},
        pixels=_column(rows, 'pixels') or None,
        training_share=_column(rows, 'training %') or None,
        image_share=_column(rows, 'images %') or None,
        settings=training_settings(settings, summary['load_from']) | {'processes': processes},
        curves={name: _curve(points) for name, points in summary['curves'].items()},
    )


def _curve(points: list[list]) -> tuple[np.ndarray, np.ndarray]:
    steps, values = np.array(points, float).reshape(-1, 2).T  # None becomes NaN
    return steps.astype(int), values


def _column(rows: list[dict], key: str) -> dict[str, float]:
    return {one_line(row['class']): none_to_nan(row[key]) for row in rows if key in row}


def nan_to_none(value):
    """Converts numbers, or nested dicts of numbers, for JSON: NaN becomes None."""
    if isinstance(value, dict):
        return {key: nan_to_none(inner) for key, inner in value.items()}
    return None if math.isnan(value) else value


def none_to_nan(value):
    """Reverses :func:`nan_to_none`: None becomes NaN."""
    if isinstance(value, dict):
        return {key: none_to_nan(inner) for key, inner in value.items()}
    return math.nan if value is None else value
