"""Class statistics in DAFormer's file format, for code with its rare-class sampling."""

import json
from pathlib import Path

import numpy as np

from ..utils.files import write_atomically
from .class_statistics import ClassStatistics


def write_rare_class_files(statistics: ClassStatistics, folder: str | Path) -> list[Path]:
    """Writes ``sample_class_stats.json`` and ``samples_with_class.json``.

    The first file lists the pixels of the classes for every label map,
    ``{"0": 5120, "7": 33, "file": "labels/a.png"}``. The second one lists the label maps that hold
    each class, ``{"0": [["labels/a.png", 5120], …], …}``. DAFormer's readers identify label maps by
    their base names.

    Args:
        statistics: Statistics to write, with numbers for classes and keys for files.
        folder: Output folder, created if missing.

    Returns:
        Both paths.
    """
    per_file = []
    per_class: dict[str, list] = {}
    for key, counts in zip(statistics.keys, statistics.pixels, strict=True):
        present = {str(c): int(counts[c]) for c in np.flatnonzero(counts)}
        per_file.append({**present, 'file': key})
        for name, number in present.items():
            per_class.setdefault(name, []).append([key, number])
    per_class = dict(sorted(per_class.items(), key=lambda item: int(item[0])))
    paths = []
    for name, content in (('sample_class_stats', per_file), ('samples_with_class', per_class)):
        paths.append(Path(folder) / f'{name}.json')
        write_atomically(paths[-1], json.dumps(content).encode())
    return paths
