"""Checked reading, resuming and failing jobs."""

import os
from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np
import pytest
from synthia_files import write_frame, write_image, write_raw_label

from mmseg_imbalance.datasets import conversion
from mmseg_imbalance.datasets.conversion import (
    BadFileError,
    Outcome,
    Pair,
    check_folders,
    convert_pair,
    map_ids,
    read_label,
    report,
    run,
)
from mmseg_imbalance.datasets.convert_synthia import read_class_ids
from mmseg_imbalance.utils.errors import ToolError

TABLE = {0: 255, 1: 0, 300: 1}
IDS = np.array([[0, 1, 300], [1, 1, 0]])


# ---- reading


def test_reads_16_bit_labels_as_stored(tmp_path):
    write_raw_label(tmp_path / 'a.png', IDS, instances=7)
    label = read_label(tmp_path / 'a.png')
    assert label.dtype == np.uint16
    assert np.array_equal(label[..., 2], IDS) and (label[..., 1] == 7).all()


def test_a_label_cut_short_anywhere_is_noticed(tmp_path):
    path = tmp_path / 'a.png'
    write_raw_label(path, np.arange(48).reshape(6, 8))
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(BadFileError, match='a.png'):
            read_label(path)


def test_a_jpeg_cut_short_is_noticed(tmp_path):
    path = tmp_path / 'a.jpg'
    write_image(path, 60, 80)
    data = path.read_bytes()
    assert conversion.read_complete(path) == (data, (80, 60))
    path.write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(BadFileError, match='a.jpg: not a complete'):
        conversion.read_complete(path)


def test_a_changed_byte_is_noticed_or_harmless(tmp_path):
    path = tmp_path / 'a.png'
    write_raw_label(path, np.arange(48).reshape(6, 8))
    data, label = path.read_bytes(), read_label(path)
    noticed = 0
    for i in range(len(data)):
        path.write_bytes(data[:i] + bytes([data[i] ^ 0x55]) + data[i + 1 :])
        try:
            assert np.array_equal(read_label(path), label)
        except BadFileError:
            noticed += 1
    assert noticed > 0.9 * len(data)


def test_a_missing_or_foreign_file_is_named(tmp_path):
    (tmp_path / 'text.png').write_text('hello')
    for name in ('text.png', 'missing.png'):
        with pytest.raises(BadFileError, match=name):
            read_label(tmp_path / name)


# ---- ids


def test_map_ids():
    label = map_ids(IDS.astype(np.uint16), TABLE)
    assert label.dtype == np.uint8 and label.tolist() == [[255, 0, 1], [0, 0, 255]]


def test_unknown_ids_are_named_with_their_place():
    with pytest.raises(BadFileError, match=r'id 9 at row 1, column 2 \(2 such.* 0, 1, 300\)'):
        map_ids(np.array([[0, 1, 1], [1, 1, 9], [9, 0, 0]], np.uint16), TABLE)


# ---- one pair


@pytest.fixture
def pair(tmp_path):
    write_frame(tmp_path / 'raw', 'a', IDS)
    return Pair(
        key='a',
        image=tmp_path / 'raw/RGB/a.png',
        label=tmp_path / 'raw/GT/LABELS/a.png',
        destination=tmp_path / 'out',
    )


convert = partial(convert_pair, class_ids=read_class_ids, table=TABLE)


def test_converts_the_label_and_copies_the_image_byte_for_byte(pair):
    outcome = convert(pair)
    label = cv2.imread(str(pair.label_out), cv2.IMREAD_UNCHANGED)
    assert label.dtype == np.uint8 and label.tolist() == [[255, 0, 1], [0, 0, 255]]
    assert pair.image_out.read_bytes() == pair.image.read_bytes()
    assert not os.path.samefile(pair.image, pair.image_out)
    assert outcome.status == 'written'
    assert {v: n for v, n in enumerate(outcome.counts.tolist()) if n} == {0: 3, 1: 1, 255: 2}


def test_links_the_image(pair):
    assert convert(pair, link=True).status == 'written'
    assert os.path.samefile(pair.image, pair.image_out)
    assert convert(pair, link=True).status == 'kept'
    pair.label_out.unlink()
    assert convert(pair, link=True).status == 'written'
    assert os.listdir(pair.image_out.parent) == ['a.png']


def test_keeps_what_is_done(pair):
    first = convert(pair)
    times = pair.image_out.stat().st_mtime_ns, pair.label_out.stat().st_mtime_ns
    again = convert(pair)
    assert again.status == 'kept' and np.array_equal(again.counts, first.counts)
    assert times == (pair.image_out.stat().st_mtime_ns, pair.label_out.stat().st_mtime_ns)


def damage(pair, how):
    if how == 'truncated label':
        pair.label_out.write_bytes(pair.label_out.read_bytes()[:-5])
    elif how == 'truncated image':
        pair.image_out.write_bytes(pair.image_out.read_bytes()[:-5])
    elif how == 'label of another size':
        cv2.imwrite(str(pair.label_out), np.zeros((2, 2), np.uint8))
    elif how == 'label with a strange value':
        cv2.imwrite(str(pair.label_out), np.full(IDS.shape, 77, np.uint8))
    elif how == '16-bit label':
        cv2.imwrite(str(pair.label_out), np.zeros(IDS.shape, np.uint16))
    elif how == 'no image':
        pair.image_out.unlink()
    elif how == 'newer source':
        late = pair.label_out.stat().st_mtime + 5
        os.utime(pair.label, (late, late))


@pytest.mark.parametrize(
    'how',
    [
        'truncated label',
        'truncated image',
        'label of another size',
        'label with a strange value',
        '16-bit label',
        'no image',
        'newer source',
    ],
)
def test_redoes_what_is_not_good(pair, how):
    convert(pair)
    good = pair.image_out.read_bytes(), pair.label_out.read_bytes()
    damage(pair, how)
    assert convert(pair).status == 'written'
    assert good == (pair.image_out.read_bytes(), pair.label_out.read_bytes())


def spoil(pair, how):
    if how == 'size':
        write_image(pair.image, 4, 9)
    elif how == 'missing image':
        pair.image.unlink()
    elif how == 'missing label':
        pair.label.unlink()
    elif how == 'truncated image':
        pair.image.write_bytes(pair.image.read_bytes()[:-20])
    elif how == 'unknown id':
        write_raw_label(pair.label, np.full(IDS.shape, 2))


@pytest.mark.parametrize(
    'how, message',
    [
        ('size', r'a.png: 3x2 pixels, but its image has 9x4'),
        ('missing image', r'its image .*RGB/a.png is missing'),
        ('missing label', r'its label .*LABELS/a.png is missing'),
        ('truncated image', r'RGB/a.png: not a complete'),
        ('unknown id', r'LABELS/a.png: unknown class id 2'),
    ],
)
def test_names_what_is_wrong_and_writes_nothing(pair, how, message):
    spoil(pair, how)
    with pytest.raises(BadFileError, match=message):
        convert(pair)
    assert not pair.image_out.exists() and not pair.label_out.exists()


# ---- many jobs


@dataclass(frozen=True)
class Job:
    key: str


def act(job):
    if job.key == 'bad':
        raise BadFileError('bad.png: no good')
    if job.key == 'denied':
        raise PermissionError(13, 'Permission denied', 'denied.png')
    return Outcome(job.key, 'written', np.zeros(256, np.int64))


def test_bad_files_do_not_stop_the_others():
    jobs = [Job(key) for key in ('a', 'bad', 'b', 'denied', 'c')]
    outcomes = run(act, jobs, 2, 'testing')
    assert [outcome.key for outcome in outcomes] == ['a', 'bad', 'b', 'denied', 'c']
    assert [outcome.status[0] for outcome in outcomes] == ['w', 'f', 'w', 'f', 'w']
    assert outcomes[1].reason == 'bad.png: no good' and 'denied.png' in outcomes[3].reason


# ---- the report


def counts(**values):
    array = np.zeros(256, np.int64)
    for name, number in values.items():
        array[int(name[1:])] = number
    return array


def test_report_of_a_clean_run(capsys):
    outcomes = [
        Outcome('a', 'written', counts(v0=60, v255=20)),
        Outcome('b', 'kept', counts(v1=20)),
    ]
    assert report(outcomes, ('road', 'car'), {'train': 2}) == 0
    out = capsys.readouterr().out.split()
    assert ' '.join(out[:6]) == '1 written, 1 already there, 0'
    assert [out[out.index(n) + 1] for n in ('road', 'car', '(ignored)')] == [
        '60.00%',
        '20.00%',
        '20.00%',
    ]
    assert 'splits/train.txt:' in out


def test_report_names_failures(capsys):
    assert report([Outcome('x/y', 'failed', reason='x/y.png: odd')], ('road',)) == 1
    captured = capsys.readouterr()
    assert '1 failed' in captured.out and 'failed: x/y: x/y.png: odd' in captured.err


# ---- arguments


def test_folders(tmp_path, pair):
    with pytest.raises(ToolError, match='nowhere does not exist'):
        check_folders(tmp_path / 'nowhere', tmp_path / 'out')
    with pytest.raises(ToolError, match='same folder'):
        check_folders(tmp_path, tmp_path / 'raw' / '..')
    with pytest.raises(ToolError, match='is not a folder'):
        check_folders(tmp_path, replace(pair).image)
    check_folders(tmp_path / 'raw', tmp_path / 'new')
