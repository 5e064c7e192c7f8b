"""Toy streets on disk: names, resuming, and no mixing."""

import json

import cv2
import numpy as np
import pytest

from lab.streets.make_toy_streets import make_toy_streets
from lab.streets.street_scene import draw_street
from mmseg_imbalance.utils.errors import ToolError

SIZE = (64, 32)


def make(root, train=3, val=2, seed=0, size=SIZE, nproc=1):
    return make_toy_streets(root, dict(train=train, val=val), seed, size, nproc)


def files(root):
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob('*') if p.is_file()}


def test_files_hold_the_scenes(tmp_path):
    outcomes = make(tmp_path / 'toy')
    assert [outcome.status for outcome in outcomes] == ['written'] * 5
    assert len(files(tmp_path / 'toy')) == 11  # and meta.json
    image, label = draw_street(0, 'val', 1, SIZE)
    stem = f'{tmp_path}/toy/{{}}/val/bricktown/bricktown_000001_{{}}.png'
    read = cv2.imread(stem.format('leftImg8bit', 'leftImg8bit'))
    assert np.array_equal(read[..., ::-1], image)
    read = cv2.imread(stem.format('gtFine', 'gtFine_labelTrainIds'), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(read, label)
    assert np.array_equal(outcomes[4].counts, np.bincount(label.ravel(), minlength=256))


def test_any_number_of_processes_writes_the_same_bytes(tmp_path):
    make(tmp_path / 'one', nproc=1)
    make(tmp_path / 'three', nproc=3)
    assert files(tmp_path / 'one') == files(tmp_path / 'three')


def test_a_second_run_draws_only_what_is_missing_or_damaged(tmp_path):
    make(tmp_path)
    before = files(tmp_path)
    lost, damaged = tmp_path.glob('gtFine/train/*/*00000[01]_*.png')
    lost.unlink()
    damaged.write_bytes(damaged.read_bytes()[:-7])
    statuses = [outcome.status for outcome in make(tmp_path)]
    assert sorted(statuses) == ['kept'] * 3 + ['written'] * 2
    assert files(tmp_path) == before


def test_more_images_can_be_added(tmp_path):
    make(tmp_path, train=2)
    statuses = [outcome.status for outcome in make(tmp_path, train=4)]
    assert statuses == ['kept', 'kept', 'written', 'written', 'kept', 'kept']


@pytest.mark.parametrize('changed', [dict(seed=1), dict(size=(32, 64))])
def test_another_recipe_in_the_same_folder_is_refused(tmp_path, changed):
    make(tmp_path)
    before = files(tmp_path)
    with pytest.raises(ToolError, match='must not mix'):
        make(tmp_path, **changed)
    assert files(tmp_path) == before


def test_surplus_images_are_refused(tmp_path):
    make(tmp_path)
    with pytest.raises(ToolError, match='2 images beyond the 3 .*000001_leftImg8bit'):
        make(tmp_path, train=1)


def test_a_foreign_folder_is_refused(tmp_path):
    (tmp_path / 'thesis.tex').write_text('dear')
    with pytest.raises(ToolError, match='not empty and has no meta.json'):
        make(tmp_path)
    assert list(files(tmp_path)) == ['thesis.tex']


def test_a_damaged_meta_file_is_named(tmp_path):
    make(tmp_path)
    (tmp_path / 'meta.json').write_text('{"seed"')
    with pytest.raises(ToolError, match='meta.json is damaged'):
        make(tmp_path)


def test_meta_records_the_recipe(tmp_path):
    make(tmp_path, seed=4)
    meta = json.loads((tmp_path / 'meta.json').read_text())
    assert meta['seed'] == 4 and meta['size'] == list(SIZE)


@pytest.mark.parametrize('size', [(31, 64), (64, 4097)])
def test_size_out_of_range(tmp_path, size):
    with pytest.raises(ToolError, match='32 to 4096'):
        make(tmp_path / 'toy', size=size)
    assert not (tmp_path / 'toy').exists()
