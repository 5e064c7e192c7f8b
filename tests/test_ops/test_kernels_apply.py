"""Where the Triton kernels are used, on machines with and without a GPU."""

from types import SimpleNamespace

import pytest
import torch

from mmseg_imbalance.losses import LovaszSoftmaxLoss, RecallLoss
from mmseg_imbalance.ops import lovasz
from mmseg_imbalance.ops.kernels import available, kernels_apply, without_kernels


@pytest.fixture
def on_a_gpu(monkeypatch):
    """What a tensor on an NVIDIA GPU looks like, with Triton there."""
    monkeypatch.setattr(torch.version, 'cuda', '13.0')
    monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda gpu: (9, 0))
    monkeypatch.setattr(available.importlib.util, 'find_spec', lambda name: object())
    monkeypatch.setattr(available, '_try_kernel', lambda device: None)
    monkeypatch.delenv(available.SWITCH, raising=False)
    available._work_on.cache_clear()
    device = torch.device('cuda', 0)
    yield SimpleNamespace(
        is_cuda=True, dtype=torch.float32, numel=lambda: 6, shape=(2, 3), device=device
    )
    available._work_on.cache_clear()


def test_on_a_cpu_they_are_not_used():
    assert not kernels_apply(torch.ones(3))


def test_on_a_gpu_they_are_used_but_for_float64_and_nothing(on_a_gpu):
    assert kernels_apply(on_a_gpu)
    assert not kernels_apply(SimpleNamespace(**vars(on_a_gpu) | {'dtype': torch.float64}))
    assert not kernels_apply(SimpleNamespace(**vars(on_a_gpu) | {'numel': lambda: 0}))
    assert not kernels_apply(SimpleNamespace(**vars(on_a_gpu) | {'shape': (1 << 16, 3)}))


@pytest.mark.parametrize(('value', 'used'), [('0', False), ('1', True), ('', True)])
def test_an_environment_variable_turns_them_off(on_a_gpu, value, used, monkeypatch):
    monkeypatch.setenv('MMSEG_IMBALANCE_KERNELS', value)
    assert kernels_apply(on_a_gpu) == used


@pytest.mark.parametrize(
    ('place', 'name', 'value'),
    [
        (torch.version, 'cuda', None),
        (torch.cuda, 'get_device_capability', lambda gpu: (7, 5)),
        (available.importlib.util, 'find_spec', lambda name: None),
    ],
    ids=('not of NVIDIA', 'an old GPU', 'no Triton'),
)
def test_where_they_are_not_used(on_a_gpu, place, name, value, monkeypatch):
    monkeypatch.setattr(place, name, value)
    assert not kernels_apply(on_a_gpu)


def test_where_triton_cannot_build_them_a_warning_says_so_once(on_a_gpu, monkeypatch):
    def fail(device):
        raise RuntimeError('Failed to find C compiler.\nSet CC')

    monkeypatch.setattr(available, '_try_kernel', fail)
    with pytest.warns(UserWarning, match='cannot build them here .Failed to find C compiler..'):
        assert not kernels_apply(on_a_gpu)
    assert not kernels_apply(on_a_gpu)  # warnings are errors here


def test_a_context_turns_them_off_and_on_again(on_a_gpu):
    with pytest.raises(KeyError), without_kernels():
        with without_kernels():
            pass
        assert not kernels_apply(on_a_gpu)
        raise KeyError
    assert kernels_apply(on_a_gpu)


@pytest.mark.parametrize('kernels', (True, False))
def test_an_argument_of_the_losses_turns_them_off(on_a_gpu, kernels, monkeypatch):
    used = []
    loss = RecallLoss(kernels=kernels)
    monkeypatch.setattr(
        loss, 'weigh', lambda *args: used.append(kernels_apply(on_a_gpu)) or weigh(*args)
    )
    weigh = type(loss).weigh.__get__(loss)
    loss(torch.zeros(1, 2, 1, 1), torch.zeros(1, 1, 1, dtype=torch.int64))
    assert used == [kernels]


@pytest.mark.parametrize('kernels', (True, False))
def test_an_argument_of_lovasz_turns_them_off(on_a_gpu, kernels, monkeypatch):
    used = []
    monkeypatch.setattr(
        lovasz, 'kernels_apply', lambda logits: used.append(kernels_apply(on_a_gpu))
    )
    loss = LovaszSoftmaxLoss(kernels=kernels)
    loss(torch.zeros(1, 2, 1, 1), torch.zeros(1, 1, 1, dtype=torch.int64))
    assert used == [kernels]
