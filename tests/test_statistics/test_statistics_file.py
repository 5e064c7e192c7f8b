"""Class statistics as values, and their file: complete, damaged, foreign."""

import io
import os
import pickle
import zipfile

import numpy as np
import pytest

from mmseg_imbalance.statistics.class_statistics import ClassStatistics


def make(**changes):
    parts = dict(
        classes=('road', 'Straße', 'sign'),
        keys=('labels/a b.png', 'labels/ü.png', 'labels/\udcff.png', 'labels/d.png'),
        pixels=np.array([[60, 0, 0], [10, 2, 0], [0, 5, 0], [23, 0, 0]]),
        ignored=np.array([1, 0, 0, 10**12]),
        fingerprint='0123abc',
        file_sizes=np.array([70, 71, 70, 0]),
    )
    return ClassStatistics(**{**parts, **changes})


def assert_same(a, b):
    assert (a.classes, a.keys, a.fingerprint) == (b.classes, b.keys, b.fingerprint)
    np.testing.assert_array_equal(a.pixels, b.pixels)
    np.testing.assert_array_equal(a.ignored, b.ignored)
    np.testing.assert_array_equal(a.file_sizes, b.file_sizes)
    assert a.pixels.dtype == a.ignored.dtype == np.int64


def test_shares():
    statistics = make()
    np.testing.assert_allclose(statistics.pixel_share, [0.93, 0.07, 0])
    assert statistics.image_share().tolist() == [0.75, 0.5, 0]


def test_shares_where_all_pixels_are_ignored():
    nothing = make(pixels=np.zeros((4, 3), np.int64))
    assert nothing.pixel_share.tolist() == nothing.image_share().tolist() == [0, 0, 0]


def test_file_and_back(tmp_path):
    path = tmp_path / 'new folder' / 'ä b.npz'
    make().save(path)
    assert_same(ClassStatistics.load(path), make())
    assert os.listdir(path.parent) == ['ä b.npz']
    assert path.read_bytes() == make().to_bytes() == make().to_bytes()


def test_files_of_earlier_versions_know_no_sizes(tmp_path):
    path = tmp_path / 'old.npz'
    make(file_sizes=None).save(path)
    assert ClassStatistics.load(path).file_sizes is None
    assert_same(ClassStatistics.load(path), make(file_sizes=None))


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / 'a.npz'
    make().save(path)

    def fail(*_):
        raise OSError('disk is full')

    monkeypatch.setattr(os, 'replace', fail)
    with pytest.raises(OSError, match='disk is full'):
        make(fingerprint='other').save(path)
    assert ClassStatistics.load(path).fingerprint == '0123abc'
    assert os.listdir(tmp_path) == ['a.npz']


@pytest.mark.parametrize(
    'changes, message',
    [
        (dict(keys=('a', 'b', 'c')), r'pixels must be int64 of shape \(3, 3\), got int64 of \(4, '),
        (dict(keys=('a', 'b', 'c', 'c')), 'keys must differ'),
        (dict(keys=()), 'keys must be a list of names'),
        (dict(classes=('a', 'b', 3)), 'classes must be a list of names'),
        (dict(ignored=np.zeros(5, np.int64)), r'ignored must be int64 of shape \(4,\)'),
        (dict(ignored=np.zeros((4, 1), np.int64)), r'ignored must be int64 of shape \(4,\)'),
        (dict(pixels=np.zeros((4, 3))), 'pixels must be int64 .* got float64'),
        (dict(pixels=np.full((4, 3), -1)), 'pixels has a negative count'),
        (dict(ignored=np.array([0, 0, -5, 0])), 'ignored has a negative count'),
        (dict(ignored=np.array([0, 0, 1 << 62, 1 << 62])), r'ignored sum up to 9.22e\+18'),
        (dict(pixels=np.full((4, 3), 1 << 50)), r'pixels sum up to 1.35e\+16'),
        (dict(file_sizes=np.zeros(3, np.int64)), r'file_sizes must be int64 of shape \(4,\)'),
        (dict(fingerprint=7), 'fingerprint must be text, got 7'),
    ],
)
def test_parts_that_do_not_fit(changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes)


REFUSED = (
    r'some\.npz: cannot read the class statistics \(.+\); recreate it with tools/analysis_tools/'
)


def refused(path, data, reason=''):
    path.write_bytes(data)
    with pytest.raises(ValueError, match=REFUSED) as error:
        ClassStatistics.load(path)
    assert reason in str(error.value) and '\n' not in str(error.value)


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'some.npz'


def test_missing_and_no_file(path):
    with pytest.raises(ValueError, match=r'some\.npz: there are no such class statistics; create'):
        ClassStatistics.load(path)
    path.mkdir()
    with pytest.raises(ValueError, match=REFUSED) as error:
        ClassStatistics.load(path)
    assert 'Is a directory' in str(error.value)


def test_cut_short_anywhere(path):
    data = make().to_bytes()
    for length in range(0, len(data), 9):
        refused(path, data[:length])
    refused(path, data[:-1])


def test_a_changed_byte_is_refused_or_harmless(path):
    data = make().to_bytes()
    noticed = 0
    for i in range(len(data)):
        path.write_bytes(data[:i] + bytes([data[i] ^ 0x55]) + data[i + 1 :])
        try:
            found = ClassStatistics.load(path)
        except ValueError as error:
            assert str(error).startswith(f'{path}: cannot read the class statistics')
            noticed += 1
        else:
            assert_same(found, make())
    assert noticed > len(data) / 2


def npz(**changes):
    with np.load(io.BytesIO(make().to_bytes())) as archive:
        arrays = {**archive, **changes}
    buffer = io.BytesIO()
    np.savez(buffer, **{name: array for name, array in arrays.items() if array is not None})
    return buffer.getvalue()


def text(content):
    return np.frombuffer(content, np.uint8)


class Trap:
    def __reduce__(self):
        return print, ('the trap has run',)


@pytest.mark.parametrize(
    'changes, reason',
    [
        *((dict([(name, None)]), name) for name in ('classes', 'pixels', 'ignored', 'fingerprint')),
        (dict(format=None), 'format'),
        (dict(format=np.int64(99)), 'format 99'),
        (dict(keys=text(b'["a"')), ''),
        (dict(keys=text(b'7')), ''),
        (dict(keys=text(b'\xff\xfe"')), ''),
        (dict(pixels=np.array([Trap()], object)), 'pickle'),
        (dict(pixels=-make().pixels), 'negative'),
        (dict(ignored=make().ignored.astype(np.uint64)), 'int64'),
        *((dict(pixels=make().pixels.astype(kind)), 'int64') for kind in (float, bool, str)),
        (dict(pixels=np.full((4, 3), np.nan)), 'int64'),
        (dict(keys=text(b'[' * 100_000)), ''),
        (dict(fingerprint=text(b'["0123abc"]')), 'fingerprint must be text'),
        (dict(file_siz=np.zeros(4, np.int64)), "unknown member 'file_siz'"),
    ],
)
def test_foreign_content(path, changes, reason, capsys):
    refused(path, npz(**changes), reason)
    assert 'trap' not in capsys.readouterr().out


def test_other_kinds_of_files(path):
    refused(path, pickle.dumps(Trap()))
    refused(path, b'\x89PNG\r\n')
    buffer = io.BytesIO()
    np.save(buffer, np.arange(3))
    refused(path, buffer.getvalue())


def test_counts_may_be_larger_than_the_file(path, monkeypatch):
    """As those of very many label maps are."""
    keys = tuple(f'{number}.png' for number in range(4096))
    counts = np.zeros(4096, np.int64)
    pixels = np.tile([3, 0, 0], (4096, 1))
    make(keys=keys, pixels=pixels, ignored=counts, file_sizes=counts).save(path)
    limit = 1 << 16
    assert path.stat().st_size < limit < pixels.nbytes
    monkeypatch.setitem(ClassStatistics.load.__func__.__globals__, '_MAX_BYTES', limit)
    assert ClassStatistics.load(path).keys == keys


def test_gigantic_files_are_not_read(path, monkeypatch):
    for limit in ('_MAX_BYTES', '_MAX_UNPACKED'):
        monkeypatch.setitem(ClassStatistics.load.__func__.__globals__, limit, 1 << 20)
    refused(path, make().to_bytes() + bytes(1 << 20), 'larger than 1 MiB')
    refused(path, npz(pixels=np.zeros((1 << 20, 3), np.int64)), 'larger than 1 MiB')
    buffer = io.BytesIO()
    np.savez_compressed(buffer, pixels=np.zeros(1 << 20, np.int64))  # some KB of zeros
    refused(path, buffer.getvalue(), 'more than 0 GiB when unpacked')


def test_absurd_sizes_are_not_allocated(path):
    header = np.lib.format.header_data_from_array_1_0(np.zeros(1, np.int64))
    member = io.BytesIO()
    np.lib.format.write_array_header_1_0(member, {**header, 'shape': (1 << 50, 3)})
    buffer = io.BytesIO(npz(pixels=None))
    with zipfile.ZipFile(buffer, 'a') as archive:
        archive.writestr('pixels.npy', member.getvalue())
    refused(path, buffer.getvalue())
