import json

import numpy as np
import pytest
import torch

from mmseg_imbalance.statistics.class_values import load_class_weight

WEIGHTS = [1.0, 0.25, 3.0]


def test_lists_and_nothing():
    assert load_class_weight(None) is None
    assert load_class_weight((1, 0.25, 3)) == WEIGHTS
    assert load_class_weight(np.array(WEIGHTS)) == WEIGHTS
    assert load_class_weight(torch.tensor(WEIGHTS)) == WEIGHTS
    with pytest.raises(ValueError, match='must be a list of numbers'):
        load_class_weight(torch.tensor(1.0))


def test_files(tmp_path):
    np.save(tmp_path / 'w.npy', WEIGHTS)
    (tmp_path / 'w.json').write_text(json.dumps(WEIGHTS))
    (tmp_path / 'w.yaml').write_text('- 1.0\n- 0.25\n- 3\n')
    for name in ('w.npy', 'w.json', 'w.yaml'):
        assert load_class_weight(str(tmp_path / name)) == WEIGHTS


def test_missing_file(tmp_path):
    with pytest.raises(ValueError, match='gone.npy does not exist'):
        load_class_weight(str(tmp_path / 'gone.npy'))


def test_bad_lists():
    with pytest.raises(ValueError, match='class_weight: that of class 0 is inf'):
        load_class_weight([float('inf'), 1])


@pytest.mark.parametrize('name', ('median_frequencies', 'weights'))
def test_unknown_names_are_named(name):
    message = f"class_weight '{name}' is neither a .npy, .* nor the name of a method; those are"
    with pytest.raises(ValueError, match=f'{message} .*median_frequency'):
        load_class_weight(name)
