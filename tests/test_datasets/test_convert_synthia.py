"""The traps of SYNTHIA's files: channels, ids, repeated names; and the splits."""

import cv2
import numpy as np
import pytest
from synthia_files import write_frame, write_image, write_raw_label

from mmseg_imbalance.datasets.conversion import BadFileError
from mmseg_imbalance.datasets.convert_synthia import (
    convert_rand,
    convert_seqs,
    read_class_ids,
    split_blocks,
    split_frames,
    split_images,
)
from mmseg_imbalance.utils.errors import ToolError

# raw id, name, as in the data set's own description; then the Cityscapes name
RAND = (
    '0 - 1 sky 2 building 3 road 4 sidewalk 5 fence 6 vegetation 7 pole 8 car 9 sign 10 person '
    '11 bicycle 12 motorcycle 13 - 14 - 15 light 16 terrain 17 rider 18 truck 19 bus 20 train '
    '21 wall 22 -'
).split()
CITYSCAPES = (
    'road sidewalk building wall fence pole light sign vegetation terrain sky person rider car '
    'truck bus train motorcycle bicycle'
).split()
SEQS = (
    '1 sky 2 building 3 road 4 sidewalk 5 fence 6 vegetation 7 pole 8 car 9 sign 10 person '
    '11 bicycle 12 marking 15 light 0 void'
).split()
SEQUENCE = 'SYNTHIA-SEQS-05-SUMMER'
VIEWS = [f'Stereo_{s}/Omni_{o}' for s in ('Left', 'Right') for o in 'BFLR']


def converted(root, key):
    return cv2.imread(str(root / 'labels' / f'{key}.png'), cv2.IMREAD_UNCHANGED)


def lines(path):
    return path.read_text().splitlines()


def rand(source, out, **changes):
    options = dict(nproc=1, link=False, val_ratio=0.25, seed=0)
    return convert_rand(source, out, **{**options, **changes})


def seqs(source, out, **changes):
    return convert_seqs(source, out, **{**dict(nproc=1, link=False, seed=0), **changes})


# ---- labels


def test_the_class_is_in_r_and_the_instance_is_not_a_class(tmp_path):
    ids = np.arange(12).reshape(3, 4)
    write_raw_label(tmp_path / 'a.png', ids, instances=(ids * 99) % 65536)
    assert np.array_equal(read_class_ids(tmp_path / 'a.png'), ids)


def test_pillow_alone_would_lose_every_class(tmp_path):
    """Why labels go through OpenCV."""
    from PIL import Image

    write_raw_label(tmp_path / 'a.png', np.arange(12).reshape(3, 4))
    assert not np.asarray(Image.open(tmp_path / 'a.png')).any()


@pytest.mark.parametrize(
    'pixels, message',
    [
        (np.zeros((3, 4, 3), np.uint8), '8-bit with 3'),
        (np.zeros((3, 4), np.uint8), '8-bit with 1'),
        (np.zeros((3, 4), np.uint16), '16-bit with 1'),
        (np.zeros((3, 4, 4), np.uint16), '16-bit with 4'),
    ],
)
def test_other_png_kinds_are_refused(tmp_path, pixels, message):
    assert cv2.imwrite(str(tmp_path / 'a.png'), pixels)
    with pytest.raises(BadFileError, match=f'a.png: {message}.*GT/LABELS'):
        read_class_ids(tmp_path / 'a.png')


# ---- RAND-CITYSCAPES


def test_rand_ids_become_cityscapes_train_ids(tmp_path):
    ids = np.arange(23)[None]
    write_frame(tmp_path / 'raw', '0000000', ids, instances=ids * 7)
    outcomes, _ = rand(tmp_path / 'raw', tmp_path / 'out')
    expected = [255 if n == '-' else CITYSCAPES.index(n) for n in RAND[1::2]]
    assert converted(tmp_path / 'out', '0000000').ravel().tolist() == expected
    assert outcomes[0].counts.sum() == 23


def test_rand_names_unknown_ids(tmp_path):
    write_frame(tmp_path, '0000000', [[22, 23]])
    outcomes, _ = rand(tmp_path, tmp_path / 'out')
    assert 'unknown class id 23 at row 0, column 1' in outcomes[0].reason


def test_rand_finds_the_folder_within(tmp_path):
    write_frame(tmp_path / 'RAND_CITYSCAPES', '0000000', [[1, 2]])
    outcomes, _ = rand(tmp_path, tmp_path / 'out')
    assert [o.key for o in outcomes] == ['0000000']


def test_rand_split_is_fixed_and_lists_good_images_only(tmp_path):
    for i in range(12):
        write_frame(tmp_path / 'raw', f'{i:07d}', [[1, 2]])
    _, sizes = rand(tmp_path / 'raw', tmp_path / 'one')
    assert sizes == {'train': 9, 'val': 3}
    train, val = (lines(tmp_path / f'one/splits/{n}.txt') for n in ('train', 'val'))
    assert sorted(train + val) == [f'{i:07d}' for i in range(12)]

    write_raw_label(tmp_path / f'raw/GT/LABELS/{val[1]}.png', [[99, 2]])
    outcomes, sizes = rand(tmp_path / 'raw', tmp_path / 'two')
    assert [o.key for o in outcomes if o.status == 'failed'] == [val[1]]
    assert lines(tmp_path / 'two/splits/train.txt') == train
    assert lines(tmp_path / 'two/splits/val.txt') == [val[0], val[2]]


def test_split_images_depends_on_the_seed():
    keys = [f'{i:07d}' for i in range(9400)]
    split = split_images(keys, val_ratio=0.1, seed=0)
    assert len(split['train']) == 8460 and len(split['val']) == 940
    assert sorted(split['train'] + split['val']) == keys
    assert split == split_images(reversed(keys), val_ratio=0.1, seed=0)
    assert split != split_images(keys, val_ratio=0.1, seed=1)


# ---- SEQS


def test_seqs_ids_become_indices_and_void_comes_last(tmp_path):
    raw = [int(i) for i in SEQS[0::2]]
    write_frame(tmp_path / SEQUENCE, 'Stereo_Left/Omni_B/000000', [raw])
    seqs(tmp_path / SEQUENCE, tmp_path / 'out')
    label = converted(tmp_path / 'out', f'{SEQUENCE}/Stereo_Left/Omni_B/000000')
    assert label.ravel().tolist() == list(range(14))


@pytest.mark.parametrize('reserved', [13, 14, 16])
def test_seqs_has_no_classes_13_14_and_above_15(tmp_path, reserved):
    write_frame(tmp_path / SEQUENCE, 'Stereo_Left/Omni_B/000000', [[1, reserved]])
    outcomes, sizes = seqs(tmp_path, tmp_path / 'out')
    assert f'unknown class id {reserved}' in outcomes[0].reason
    assert '11, 12, 15' in outcomes[0].reason
    assert set(sizes.values()) == {0}


def test_seqs_repeated_names_do_not_mix(tmp_path):
    """Every view and sequence has its own 000000.png."""
    other = 'SYNTHIA-SEQS-02-FALL'
    keys = [f'{sequence}/{view}/000000' for sequence in (SEQUENCE, other) for view in VIEWS]
    for i, key in enumerate(keys):
        sequence, name = key.split('/', 1)
        write_frame(tmp_path / 'raw' / sequence, name, np.full((2, 3), 1 + i % 12))
    outcomes, _ = seqs(tmp_path / 'raw', tmp_path / 'out')
    assert sorted(o.key for o in outcomes) == sorted(keys)
    for i, key in enumerate(keys):
        assert (converted(tmp_path / 'out', key) == i % 12).all()


def test_seqs_lists_keep_the_sequences_of_earlier_runs(tmp_path):
    for sequence in (SEQUENCE, 'SYNTHIA-SEQS-02-FALL'):
        for i in range(10):
            write_frame(tmp_path / sequence, f'Stereo_Left/Omni_B/{i:06d}', [[1, 2]])
    seqs(tmp_path / SEQUENCE, tmp_path / 'out')
    first = lines(tmp_path / 'out/splits/random/train.txt')
    _, sizes = seqs(tmp_path / 'SYNTHIA-SEQS-02-FALL', tmp_path / 'out')
    assert sizes['block/train'] == sizes['random/train'] == 14
    assert set(first) < set(lines(tmp_path / 'out/splits/random/train.txt'))


def test_seqs_unpaired_frames_are_named(tmp_path):
    write_frame(tmp_path / SEQUENCE, 'Stereo_Left/Omni_B/000000', [[1, 2]])
    write_image(tmp_path / SEQUENCE / 'RGB/Stereo_Left/Omni_B/000001.png')
    write_raw_label(tmp_path / SEQUENCE / 'GT/LABELS/Stereo_Left/Omni_B/000002.png', [[1, 2]])
    outcomes, _ = seqs(tmp_path, tmp_path / 'out')
    reasons = [o.reason for o in outcomes]
    assert reasons[0] == '' and 'its label' in reasons[1] and 'its image' in reasons[2]


@pytest.mark.parametrize('convert', [rand, seqs])
def test_nothing_found(tmp_path, convert):
    with pytest.raises(ToolError, match='GT/LABELS'):
        convert(tmp_path, tmp_path / 'out')


@pytest.mark.parametrize('convert', [rand, seqs])
@pytest.mark.parametrize('folder', ['RGB', 'GT/LABELS'])
def test_suffixes_in_capitals_are_refused(tmp_path, convert, folder):
    for name in ('a', 'b'):
        write_frame(tmp_path, name, [[1, 2]])
    (tmp_path / folder / 'b.png').rename(tmp_path / folder / 'b.PNG')
    with pytest.raises(ToolError, match=f'.*{folder}/b.PNG: the suffix has to be .*1 such'):
        convert(tmp_path, tmp_path / 'out')


FRAMES = [f'{SEQUENCE}/{view}/{i:06d}' for view in VIEWS for i in range(787)]


@pytest.mark.parametrize('split', [lambda keys: split_frames(keys, seed=0), split_blocks])
def test_the_papers_numbers(split):
    parts = split(FRAMES)
    assert {n: len(keys) for n, keys in parts.items()} == {'train': 4400, 'val': 624, 'test': 1272}
    assert sorted(parts['train'] + parts['val'] + parts['test']) == sorted(FRAMES)


def test_random_split_draws_each_view_on_its_own():
    parts = split_frames(FRAMES, seed=0)
    for view in VIEWS:
        alone = split_frames([key for key in FRAMES if view in key], seed=0)
        assert len(alone['test']) == 159
        assert alone == {n: [k for k in keys if view in k] for n, keys in parts.items()}
    moments = [{k[-6:] for k in parts['test'] if view in k} for view in VIEWS]
    assert moments[0] != moments[1]
    assert parts != split_frames(FRAMES, seed=1)


def test_block_split_has_no_moment_in_two_parts():
    """Whatever view: a test moment is later than all training moments."""
    shorter_view = [k for k in FRAMES if not (VIEWS[2] in k and int(k[-6:]) > 300)]
    parts = split_blocks(shorter_view + [f'SYNTHIA-SEQS-02-FALL/a/b/{i:06d}' for i in range(50)])
    for sequence, train, val in ((SEQUENCE, 550, 78), ('SYNTHIA-SEQS-02-FALL', 35, 5)):
        moments = {n: {int(k[-6:]) for k in ks if sequence in k} for n, ks in parts.items()}
        assert moments['train'] == set(range(train))
        assert moments['val'] == set(range(train, train + val))
        assert min(moments['test']) == train + val
