"""DAFormer's files, read as its data set reads them."""

import json

import numpy as np

from mmseg_imbalance.statistics.class_statistics import ClassStatistics
from mmseg_imbalance.statistics.rare_class_files import write_rare_class_files


def test_files(tmp_path):
    pixels = np.zeros((2, 12), np.int64)
    pixels[0, [0, 11]] = 5, 3
    pixels[1, [0, 2]] = 7, 1
    names = tuple('abcdefghijkl')
    statistics = ClassStatistics(
        names, ('labels/a.png', 'labels/ü b.png'), pixels, np.zeros(2, np.int64), 'x'
    )
    paths = write_rare_class_files(statistics, tmp_path / 'new')
    assert [path.name for path in paths] == ['sample_class_stats.json', 'samples_with_class.json']
    per_file, per_class = (json.loads(path.read_text()) for path in paths)
    assert per_file == [
        {'0': 5, '11': 3, 'file': 'labels/a.png'},
        {'0': 7, '2': 1, 'file': 'labels/ü b.png'},
    ]
    assert list(per_class.items()) == [
        ('0', [['labels/a.png', 5], ['labels/ü b.png', 7]]),
        ('2', [['labels/ü b.png', 1]]),
        ('11', [['labels/a.png', 3]]),
    ]
