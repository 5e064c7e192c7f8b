import pytest
import torch

from mmseg_imbalance.ops import histogram, stripes


@pytest.mark.parametrize('dtype', (torch.int32, torch.int64))
@pytest.mark.parametrize('shape', [(1, 1), (3, 7), (2, 64), (5, 1000), (2, 0), (0, 8)])
def test_counts_each_row(shape, dtype):
    generator = torch.Generator().manual_seed(0)
    bucket = torch.randint(0, 6, shape, generator=generator, dtype=dtype)
    found = histogram(bucket, size=9)
    expected = [torch.bincount(row, minlength=9).tolist() for row in bucket]
    assert found.dtype == torch.int64 and found.shape == (shape[0], 9)
    assert found.tolist() == expected


@pytest.mark.parametrize('shape', [(1, 10), (2, 10), (4, 10), (40, 10), (3, 0), (0, 10)])
def test_slices_cover_every_column_once(monkeypatch, shape):
    monkeypatch.setattr(stripes, 'CPU_ELEMENTS', 12)
    slices = list(stripes.cache_slices(torch.empty(shape)))
    columns = [column for part in slices for column in range(shape[1])[part]]
    assert columns == list(range(shape[1]))
    assert all(shape[0] * (part.stop - part.start) <= max(12, shape[0]) for part in slices)
