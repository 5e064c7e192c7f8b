"""Random damage to valid files: a tool refuses them in one line, or reads what others read too."""

import io
import json
import random

import cv2
import numpy as np
import pytest
import yaml
from label_files import build, config, write_labels

from mmseg_imbalance.datasets.count import _attempt
from mmseg_imbalance.datasets.label_maps import find_label_maps
from mmseg_imbalance.statistics.class_values import load_class_weight
from mmseg_imbalance.statistics.class_weights import save_class_weights

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
            assert str(path) in str(error) and '\n' not in str(error)
            refused += 1
            continue
        expected = READERS[kind](data)
        assert found == pytest.approx(expected, rel=1e-12, abs=0)
        assert all(0 <= value < 3.5e38 for value in found)
    assert 0.4 * MUTATIONS < refused < MUTATIONS
