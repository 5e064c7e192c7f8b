"""Reads what a training left in its work dir: settings, curves and the scores of every class."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from mmengine.config import Config

from mmseg_imbalance.utils.command_line import first_line, one_line
from mmseg_imbalance.utils.files import read_bytes

from .class_scores_file import check_rows, read_class_scores
from .dumped_config import read_dumped_config
from .log_table import last_validated_classes
from .run_position import RunLogError, positions, training_length
from .run_settings import processes, readable_details, training_settings, validation_data

KINDS = ('IoU', 'Acc')
"""The scores of every class that are compared; ``'Acc'`` is the recall."""

_MEAN = re.compile(r'aAcc|m[A-Z]\w*')
_ITERATION = re.compile(r'iter_\d{1,15}')
_PERCENT = ('aAcc', 'mIoU', 'mAcc')
_MAX_STEP = 1 << 53  # exact also where a step is drawn, as a float
_MAX_BYTES = 1 << 30  # of a file
_TIMESTAMP = re.compile(r'\d{8}_\d{6}')


@dataclass(frozen=True)
class Run:
    """A finished training.

    Attributes:
        work_dir: Its folder, for readers: what is no text in its name is written out.
        config: Name of its config file without suffix, '' if the config was made in Python.
        seed: Seed of its random numbers, None if they were not seeded.
        data: What it was validated on: ``'type'`` and, if set, ``'ann_file'`` and paths.
        unit: What its length is counted in, ``'iteration'`` or ``'epoch'``.
        length: Its length in iterations or epochs.
        details: Network, optimizer, lr, batch size of a process, length in words and, if known, the
            number of processes, for readers.
        means: Means of the last validation in percent, ``'mIoU'`` and so on.
        scores: By kind (:data:`KINDS`) and class the scores of the last validation in percent, NaN
            where undefined.
        pixels: Evaluated pixels by class, None where the run has no record of them.
        training_share: Share of the training pixels by class in percent, None if not recorded.
        settings: What determines the training apart from its seed, by dotted key. Runs with equal
            settings are repetitions of one another.
        curves: ``'loss'`` and the means: steps (n,), of the loss in iterations, of the means in
            :attr:`unit`, whatever the log counts validations in, and values (n,).
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
    settings: dict[str, object] = field(default_factory=dict)
    curves: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    @property
    def classes(self) -> list[str]:
        """Names in the order of the run's own table."""
        return list(self.scores['IoU'])

    def to_dict(self) -> dict:
        """All but settings and curves, which the work dir has, for JSON; NaN become None."""
        kept = asdict(self) | {'scores': nan_to_none(self.scores), 'means': nan_to_none(self.means)}
        return {key: value for key, value in kept.items() if key not in ('settings', 'curves')}

    @classmethod
    def from_dict(cls, content: Mapping) -> 'Run':
        """The reverse of :meth:`to_dict`, without settings and curves."""
        known = {key: none_to_nan(content[key]) for key in ('means', 'scores')}
        return cls(**(dict(content) | known))


def read_run(work_dir: str | Path) -> Run:
    """Reads a finished training.

    Read are, of the last training in the work dir and the sessions that resumed it,
    ``<timestamp>/vis_data/scalars.json`` and the ``config.py`` beside it (where that is missing,
    the newest config in the work dir), and the scores of every class in the last validation: from
    the file that :class:`ImbalanceMetric` wrote, else from the table in the log, which IoUMetric
    writes as well. Nothing in these files is executed, not the config either.

    Args:
        work_dir: The folder of a training with MMEngine's runner.

    Raises:
        RunLogError: Something is missing or damaged, or the training is not finished.
    """
    work_dir = Path(work_dir)
    sessions = _last_training(_sessions(work_dir))
    config = sessions[-1].config
    unit, length = training_length(config)
    records = _join(sessions)
    name = newest_config(work_dir)
    reached = max(record['position'] for record in records)
    if reached < length:
        raise RunLogError(
            f'stopped at {unit} {reached} of {length}; resume it with '
            f'tools/train.py {name or "CONFIG"} --work-dir {work_dir} --resume'
        )
    validation = _last_validation(records, unit, length)
    session = next(s for s in reversed(sessions) if validation in s.records)
    rows = _class_rows(session, validation, unit)
    started_on = _processes(sessions)
    return Run(
        work_dir=one_line(str(work_dir)),
        config='' if name is None or _TIMESTAMP.fullmatch(name.stem) else one_line(name.stem),
        seed=(config.get('randomness') or {}).get('seed'),
        data=validation_data(config),
        unit=unit,
        length=length,
        details=readable_details(config) | {'length': f'{length} {unit}s'} | started_on,
        means={k: _number(v) for k, v in validation.items() if _MEAN.fullmatch(k)},
        scores={kind: {row['class']: _number(row[kind]) for row in rows} for kind in KINDS},
        pixels=_column(rows, 'pixels'),
        training_share=_column(rows, 'training %'),
        settings=training_settings(config, started=sessions[0].config) | started_on,
        curves=_curves(records),
    )


@dataclass(frozen=True)
class _Session:
    """What was logged from one start of a training to its end."""

    folder: Path
    config: Config
    records: list[dict]
    logs: list[str]

    @property
    def log(self) -> str:
        """The text of all its logs."""
        return ''.join(self.logs)


def _sessions(work_dir: Path) -> list[_Session]:
    """All sessions that logged something, oldest first."""
    if not work_dir.is_dir():
        raise RunLogError('there is no such folder')
    sessions = []
    for file in sorted(work_dir.glob('*/vis_data/scalars.json')):
        records = _read_scalars(file)
        if records:
            own = file.with_name('config.py')
            path = own if own.is_file() else newest_config(work_dir)
            if path is None:
                raise RunLogError(f'its config is missing: {own}, or any .py in {work_dir}')
            folder = file.parents[1]
            sessions.append(_Session(folder, _load(path), records, _logs(folder)))
    if not sessions:
        raise RunLogError(
            'nothing is logged in <timestamp>/vis_data/scalars.json: this is no work dir of a '
            'training, or of one that ended before its first log, or that has no LocalVisBackend'
        )
    return sessions


def newest_config(work_dir: Path) -> Path | None:
    """The newest config in a work dir, whose name is that of the user's; None without one."""
    return max(work_dir.glob('*.py'), key=lambda path: path.stat().st_mtime, default=None)


def _read_scalars(file: Path) -> list[dict]:
    records, lines = [], _read(file).split(b'\n')
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            _check_record(record)
        except (ValueError, RecursionError) as error:
            if number == len(lines):  # no line break: the training was killed while it wrote
                break
            raise RunLogError(f'{file} is damaged: line {number} is no record') from error
        if 'loss' in record or 'mIoU' in record:  # not the curves that hooks and metrics add
            records.append(record)
    return records


def _check_record(record: object) -> None:
    """Raises a ValueError unless steps are counts, losses numbers and means percentages."""
    if not isinstance(record, dict) or 'step' not in record:
        raise ValueError
    for key, value in record.items():
        if key in ('step', 'epoch'):
            fits = type(value) is int and 0 <= value <= _MAX_STEP
        elif key in _PERCENT:
            fits = _is_number(value) and not (_number(value) < 0 or _number(value) > 100)
        elif key == 'loss':
            fits = _is_number(value)  # infinite, it is that of a training that has failed
        elif _MEAN.fullmatch(key):
            fits = _is_number(value) and not math.isinf(_number(value))
        else:
            continue
        if not fits:
            raise ValueError


def _is_number(value: object) -> bool:
    """Whether it is a number, None for NaN among them, that no text of digits makes gigantic."""
    return value is None or type(value) is float or (type(value) is int and abs(value) < _MAX_STEP)


def _read(file: Path) -> bytes:
    try:
        return read_bytes(file, _MAX_BYTES)
    except ValueError as error:
        raise RunLogError(f'{file} is {error}') from error


def _logs(folder: Path) -> list[str]:
    return [_read(log).decode(errors='replace') for log in sorted(folder.glob('*.log'))]


def _load(path: Path) -> Config:
    try:
        return read_dumped_config(path)
    except Exception as error:  # Python's parser raises almost anything on damaged files
        raise RunLogError(f'{path} is no readable config: {first_line(error)}') from error


def _last_training(sessions: list[_Session]) -> list[_Session]:
    """The last session and those that it goes on from."""
    fresh = [i for i, session in enumerate(sessions) if not session.config.get('resume')]
    return sessions[fresh[-1] if fresh else 0 :]


def _join(sessions: list[_Session]) -> list[dict]:
    """The records of all sessions with their ``'position'``.

    Each session replaces what was logged beyond its checkpoint before.
    """
    joined = []
    for session in sessions:
        placed = positions(session.records, session.config, session.log)
        for record, position in zip(session.records, placed, strict=True):
            record['position'] = position
        joined = [record for record in joined if record['position'] < min(placed)]
        joined += session.records
    return joined


def _processes(sessions: list[_Session]) -> dict[str, int | str]:
    """The number of processes, all of them where sessions differ, nothing where it is unknown."""
    counts = list(dict.fromkeys(processes(s.config, s.log) for s in sessions))
    if None in counts:
        return {}
    return {'processes': counts[0] if len(counts) == 1 else ', then '.join(map(str, counts))}


def _last_validation(records: list[dict], unit: str, length: int) -> dict:
    """The validation at the end of the training, or the reason why there is none."""
    steps = {record['position']: record for record in records if 'mIoU' in record}
    if not steps:
        raise RunLogError(f'trained to {unit} {length}, but logged no validation with mIoU')
    if max(steps) < length:
        raise RunLogError(
            f'trained to {unit} {length}, but last validated at {max(steps)}; train the rest anew, '
            'with tools/train.py … --resume --cfg-options load_from=AN_EARLIER_CHECKPOINT'
        )
    return steps[max(steps)]


def _class_rows(session: _Session, validation: dict, unit: str) -> list[dict]:
    """The scores of every class, from the metric's file or else from the log."""
    means = {key: _number(value) for key, value in validation.items() if _MEAN.fullmatch(key)}
    # the folder's name has iterations, also in a training by epochs
    pattern = f'iter_{validation["position"]}' if unit == 'iteration' else 'iter_*'
    found = session.folder.glob(f'{pattern}/class_scores.json')
    files = {int(f.parent.name[5:]): f for f in found if _ITERATION.fullmatch(f.parent.name)}
    if files:
        return read_class_scores(files[max(files)], means)
    for log in session.logs:
        rows = last_validated_classes(log, means['mIoU'])
        if rows and all(kind in rows[0] for kind in KINDS):
            return _checked_rows(rows, session.folder)
    raise RunLogError(
        f'the scores of its classes are missing: there is neither {pattern}/class_scores.json nor '
        f"a .log with the last validation's table of IoU and Acc in {session.folder}"
    )


def _checked_rows(rows: list[dict], folder: Path) -> list[dict]:
    try:
        check_rows(rows)
    except ValueError as error:
        raise RunLogError(
            f"the last validation's table in a .log in {folder} is damaged: {error}"
        ) from error
    return rows


def _number(value: float | None) -> float:
    return float('nan') if value is None else float(value)


def _column(rows: list[dict], key: str) -> dict[str, float] | None:
    return {row['class']: row[key] for row in rows} if key in rows[0] else None


def _curves(records: list[dict]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    points = {}
    for record in records:
        for key, value in record.items():
            if _MEAN.fullmatch(key) or key == 'loss':
                step = record['step' if key == 'loss' else 'position']
                points.setdefault(key, {})[step] = _number(value)
    return {
        key: (np.array(sorted(values)), np.array([values[step] for step in sorted(values)]))
        for key, values in points.items()
    }


def nan_to_none(value):
    """Numbers, or nested dicts of them, as JSON knows them: NaN as None."""
    if isinstance(value, dict):
        return {key: nan_to_none(inner) for key, inner in value.items()}
    return None if math.isnan(value) else value


def none_to_nan(value):
    """The reverse of :func:`nan_to_none`: None as NaN."""
    if isinstance(value, dict):
        return {key: none_to_nan(inner) for key, inner in value.items()}
    return _number(value)
