import multiprocessing

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

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


@pytest.mark.parametrize('threads', [1, 3])
def test_stripes_come_in_order_and_errors_arrive(threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    cpu = torch.device('cpu')
    numbers = torch.arange(40.0)
    try:
        found = list(stripes.map_stripes(lambda i: (numbers[i] * 2).item(), range(40), cpu))
        assert found == [2.0 * i for i in range(40)]
        seen = set(stripes.map_stripes(lambda _: torch.get_num_threads(), range(9), cpu))
        assert seen == {1}  # no operation waits for other threads
        assert torch.get_num_threads() == threads
        with torch.no_grad():
            grads = set(stripes.map_stripes(lambda _: torch.is_grad_enabled(), range(9), cpu))
        assert grads == {False}
        with pytest.raises(IndexError):
            list(stripes.map_stripes(lambda i: [1, 2][i], range(9), cpu))
    finally:
        torch.set_num_threads(before)


def _in_a_child(queue):
    queue.put(list(stripes.map_stripes(lambda i: i + 1, range(9), torch.device('cpu'))))


def test_a_forked_child_has_threads_of_its_own():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        list(stripes.map_stripes(lambda i: i, range(9), torch.device('cpu')))
        context = multiprocessing.get_context('fork')
        queue = context.Queue()
        child = context.Process(target=_in_a_child, args=(queue,))
        child.start()
        assert queue.get(timeout=60) == list(range(1, 10))
        child.join()
    finally:
        torch.set_num_threads(before)


def test_threads_know_the_modes_of_the_caller():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    cpu = torch.device('cpu')
    try:
        with torch.inference_mode():
            total = torch.zeros(9)

            def add(i):
                total[i] += i

            list(stripes.map_stripes(add, range(9), cpu))
        assert total.sum() == 36
        with FakeTensorMode():
            fake = torch.ones(9)
            made = list(stripes.map_stripes(lambda i: fake[i] + 1, range(9), cpu))
        assert all(type(value) is FakeTensor for value in made)
    finally:
        torch.set_num_threads(before)
