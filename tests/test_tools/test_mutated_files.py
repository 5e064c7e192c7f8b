"""Random damage to valid files: a tool refuses them in one line, or reads what others read too."""

import io
import json
import random
import shutil

import cv2
import numpy as np
import pytest
import yaml
from label_files import build, config, write_labels
from made_runs import train
from test_hostile_files import COMPARE, STATISTICS, WEIGHTING

from mmseg_imbalance.command_line import one_line
from mmseg_imbalance.datasets.statistics import (
    ClassStatistics,
    count_classes,
    find_label_maps,
    save_class_weights,
    store,
)
from mmseg_imbalance.datasets.statistics.count import _attempt
from mmseg_imbalance.evaluation import RunLogError, read_run
from mmseg_imbalance.losses.class_weight import load_class_weight

MUTATIONS = 100


def mutations(data, other, count=MUTATIONS, seed=0):
    """Damaged copies of a file; ``other`` is a valid one of its kind, to be spliced with it."""
    rng = random.Random(seed)
    for i in range(count):
        one, two = sorted(rng.randrange(len(data) + 1) for _ in range(2))
        start, middle, end = data[:one], data[one:two], data[two:]
        at = rng.randrange(len(data))
        before, byte, after = data[:at], data[at], data[at + 1 :]
        yield (
            before + bytes([byte ^ 1 << rng.randrange(8)]) + after,
            before + bytes([rng.choice(b'0123456789-.e')]) + after,
            before + after[:1] + bytes([byte]) + after[1:],
            start,
            start + end,
            start + rng.randbytes(1 + rng.randrange(9)) + middle + end,
            start + middle[::-1] + end,
            start + middle * 2 + end,
            start + bytes(len(middle)) + end,
            other[:one] + middle + end,
        )[i % 10]


def opencv(data):
    """A label map as OpenCV reads it, which does not read what Pillow does not."""
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


def test_label_maps(tmp_path):
    """Counts are those of the pixels that OpenCV finds; hardly any damage goes that far."""
    key = 'labels/train/frame 0.png'
    label = np.random.default_rng(0).choice([0, 1, 3, 8, 255], size=(32, 48)).astype(np.uint8)
    write_labels(tmp_path, 1)
    cv2.imwrite(str(tmp_path / key.replace('labels', 'images')), label)
    valid, other = (cv2.imencode('.png', array)[1].tobytes() for array in (label, label[:, ::-1]))
    (label_map,) = find_label_maps(build(config(tmp_path))).maps.values()
    refused = 0
    for data in mutations(valid, other):
        (tmp_path / key).write_bytes(data)
        counts = _attempt(label_map, 11)
        if isinstance(counts, str):
            assert counts and '\n' not in counts
            refused += 1
            continue
        pixels = opencv(data)
        assert pixels.shape == label.shape
        expected = [(pixels == c).sum() for c in range(11)]
        assert counts.tolist() == [*expected, pixels.size - sum(expected)]
    assert MUTATIONS > refused > 0.8 * MUTATIONS  # what is left has the same pixels


def test_statistics(tmp_path):
    """Whatever is accepted is what was written: the archive has checksums."""
    write_labels(tmp_path, 6)
    statistics = count_classes(build(config(tmp_path)), nproc=1)
    other = ClassStatistics(**(vars(statistics) | {'ignored': statistics.ignored + 1}))
    valid, path = statistics.to_bytes(), tmp_path / 'counts.npz'
    refused = 0
    for data in mutations(valid, other.to_bytes()):
        path.write_bytes(data)
        try:
            found = ClassStatistics.load(path)
        except ValueError as error:
            assert str(error).startswith(f'{path}: no readable class statistics (')
            assert '\n' not in str(error)
            refused += 1
            continue
        assert (found.classes, found.keys) == (statistics.classes, statistics.keys)
        for name in ('pixels', 'ignored', 'file_sizes'):
            array = getattr(found, name)
            assert array.tolist() in (getattr(one, name).tolist() for one in (statistics, other))
    assert refused > 0.8 * MUTATIONS


READERS = {
    'json': lambda data: json.loads(data.decode()),
    'yaml': lambda data: yaml.safe_load(data.decode()),
    'npy': lambda data: np.load(io.BytesIO(data), allow_pickle=False).tolist(),
}


@pytest.mark.parametrize('kind', READERS)
def test_class_weights(tmp_path, kind):
    """Whatever is accepted is what another reader finds: finite numbers ≥ 0."""
    weights = np.random.default_rng(0).random((2, 11)).tolist()
    path = tmp_path / f'weights.{kind}'
    valid, other = (save_class_weights(w, path) or path.read_bytes() for w in weights)
    refused = 0
    for data in mutations(valid, other):
        path.write_bytes(data)
        try:
            found = load_class_weight(str(path))
        except ValueError as error:
            assert str(path) in str(error) or 'single precision' in str(error)
            assert '\n' not in str(error)
            refused += 1
            continue
        expected = READERS[kind](data)
        assert found == pytest.approx(expected, rel=1e-12, abs=0)
        assert all(0 <= value < 3.5e38 for value in found)
    assert 0.4 * MUTATIONS < refused < MUTATIONS


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp('runs')
    return [train(folder, f'run-{seed}', seed=seed) for seed in (0, 1)]


@pytest.mark.parametrize(
    'name', ['vis_data/scalars.json', 'vis_data/config.py', 'iter_4/class_scores.json']
)
def test_runs(runs, tmp_path, name):
    """Whatever is accepted has the values that are in the files."""
    work_dir = shutil.copytree(runs[0], tmp_path / 'run')
    (path,), (other,) = work_dir.glob(f'*/{name}'), runs[1].glob(f'*/{name}')
    valid, before = path.read_bytes(), read_run(work_dir)
    refused = 0
    for data in mutations(valid, other.read_bytes()):
        path.write_bytes(data)
        try:
            found = read_run(work_dir)
        except (OSError, RunLogError) as error:
            assert '\n' not in one_line(str(error))
            refused += 1
            continue
        if name.endswith('scalars.json'):
            records = [json.loads(line) for line in data.splitlines() if _is_json(line)]
            validation = [record for record in records if 'mIoU' in record][-1]
            assert all(found.means[key] == validation[key] for key in found.means)
            for key in ('mIoU', 'aAcc', 'mAcc'):
                assert found.means[key] == pytest.approx(before.means[key], abs=0.02)
        elif name.endswith('.json'):
            rows = json.loads(data)['classes']
            for kind, scores in found.scores.items():
                for row in rows:
                    value = row[kind]
                    assert scores[row['class']] == value or (value is None and row['pixels'] == 0)
                    # names may have changed, scores not by more than a digit that is rounded
                    assert (
                        any(abs(value - score) < 0.03 for score in before.scores[kind].values())
                        if value is not None
                        else True
                    )
        else:
            assert found.scores.keys() == before.scores.keys() and found.length == before.length
    assert refused > 0.1 * MUTATIONS


def _is_json(line):
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


# ---- through the tools themselves, fewer of each


@pytest.mark.slow
def test_tools(call_tool, capsys, tmp_path, runs, monkeypatch):
    monkeypatch.setattr(store, 'print_log', lambda *_: None)
    labels = write_labels(tmp_path / 'data', 1)
    file = tmp_path / 'camvid.py'
    file.write_text(f'train_dataloader = dict(dataset={config(tmp_path / "data")!r})\n')
    counts, losses = tmp_path / 'counts.npz', tmp_path / 'losses.npy'
    count = (STATISTICS, file, '--nproc', 1, '--out', counts)
    assert call_tool(*count) == 0
    np.save(losses, np.random.default_rng(0).random(50))
    run = shutil.copytree(runs[0], tmp_path / 'run')
    calls = {
        counts: count,
        tmp_path / 'data' / next(iter(labels)): (*count, '--force'),
        losses: (WEIGHTING, tmp_path / 'out.png', '--losses', losses),
        next(run.glob('*/vis_data/scalars.json')): (COMPARE, run, '--out-dir', tmp_path / 'out'),
    }
    for path, call in calls.items():
        valid = path.read_bytes()
        refused = 0
        for data in mutations(valid, valid[::-1], 30, seed=1):
            path.write_bytes(data)
            capsys.readouterr()
            code = call_tool(*call)
            out, err = capsys.readouterr()
            assert code in (0, 2) and 'Traceback' not in out + err
            if code == 2:
                assert len([line for line in err.splitlines() if 'error: ' in line]) == 1
                refused += 1
        path.write_bytes(valid)
        assert refused > 5
