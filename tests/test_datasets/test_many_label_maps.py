"""Ten thousand label maps: right, in bounded memory, and quick to load again."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from label_files import build, config

from mmseg_imbalance.datasets.label_maps import LabelMap, find_label_maps
from mmseg_imbalance.datasets.store import load_or_count
from mmseg_imbalance.statistics.class_statistics import ClassStatistics

# Runs a tool, then prints the peak memory of it and of the largest of its workers.
MEASURE = """
import resource, runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name='__main__')
except SystemExit as end:
    assert not end.code, end.code
for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
    print(resource.getrusage(who).ru_maxrss)
"""
TOOL = Path(__file__).resolve().parents[2] / 'tools/analysis_tools/class_statistics.py'


def write_many(root, count):
    """Label maps of 8 x 8 pixels, of a hundred kinds; returns the kinds."""
    kinds = np.random.default_rng(0).choice([0, 3, 8, 255], size=(100, 8, 8)).astype(np.uint8)
    labels = [cv2.imencode('.png', kind)[1].tobytes() for kind in kinds]
    image = cv2.imencode('.png', np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    for kind in ('images', 'labels'):
        (root / kind / 'train').mkdir(parents=True)
        for i in range(count):
            data = labels[i % 100] if kind == 'labels' else image
            (root / kind / f'train/{i:06}.png').write_bytes(data)
    return kinds


def count_apart(root, path):
    """Counts with the tool; returns the peak memory of it and of its workers, in MB."""
    file = root / 'config.py'
    file.write_text(f'train_dataloader = dict(dataset={config(root)!r})\n')
    done = subprocess.run(
        [sys.executable, '-c', MEASURE, TOOL, file, '--nproc', '2', '--out', path],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return np.array([int(text) for text in done.stdout.split()[-2:]]) / 1024


@pytest.mark.slow
def test_ten_thousand_label_maps(tmp_path, monkeypatch):
    peaks = {}
    for count in (1000, 10_000):
        kinds = write_many(tmp_path / f'{count}', count)
        peaks[count] = count_apart(tmp_path / f'{count}', tmp_path / f'{count}.npz')
    found = ClassStatistics.load(tmp_path / '10000.npz')
    expected = np.array([[(kind == c).sum() for c in range(11)] for kind in kinds])
    np.testing.assert_array_equal(found.pixels, np.tile(expected, (100, 1)))
    np.testing.assert_array_equal(found.ignored, 64 - found.pixels.sum(1))
    # 3 KB a label map at most, whether for the list of them, the results or the file
    assert (peaks[10_000] - peaks[1000] < 27).all(), peaks

    monkeypatch.setattr(LabelMap, 'read', lambda self: pytest.fail(f'{self.path} is read again'))
    labels = find_label_maps(build(config(tmp_path / '10000')))
    again = load_or_count(labels, tmp_path / '10000.npz')
    np.testing.assert_array_equal(again.pixels, found.pixels)
