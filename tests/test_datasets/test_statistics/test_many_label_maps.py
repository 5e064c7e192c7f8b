"""Ten thousand label maps: right, in bounded memory, and quick to load again."""

import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from label_files import build, config

from mmseg_imbalance.datasets.statistics import ClassStatistics, load_or_count
from mmseg_imbalance.datasets.statistics.label_maps import find_label_maps

COUNT = """
import resource, sys
sys.path[:0] = sys.argv[3:]
from label_files import build, config
from mmseg_imbalance.datasets.statistics import class_statistics
class_statistics(build(config(sys.argv[1])), sys.argv[2], nproc=2)
for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):  # of the children the largest
    print(resource.getrusage(who).ru_maxrss)
"""


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
    """Counts in a process of its own; returns the peak memory of it and of its workers, in MB."""
    done = subprocess.run(
        [sys.executable, '-c', COUNT, root, path, *sys.path],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return np.array([int(text) for text in done.stdout.split()[-2:]]) / 1024


@pytest.mark.slow
def test_ten_thousand_label_maps(tmp_path):
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

    dataset = build(config(tmp_path / '10000'))
    start = time.perf_counter()
    load_or_count(find_label_maps(dataset), tmp_path / '10000.npz')
    assert time.perf_counter() - start < 5  # on a busy machine; half a second on an idle one
