"""The machine that something was measured on."""

import sys
from types import SimpleNamespace

import pytest
import torch

from mmseg_imbalance.utils import machine as module
from mmseg_imbalance.utils.machine import describe_machine


def test_machine_and_versions_are_named():
    machine = describe_machine(torch.device('cpu'))
    assert machine['PyTorch'] == torch.__version__
    assert machine['device'].endswith(f', {torch.get_num_threads()} threads')
    assert len(machine['device']) > len(', 16 threads')


@pytest.mark.parametrize(
    ('text', 'driver'),
    [
        ('NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.159.04  Wed Mar 25\n', '580.159.04'),
        (
            'NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.54.15  Release',
            '550.54.15',
        ),
        ('something else', None),
        (None, None),
    ],
)
def test_driver_and_triton_of_a_gpu_are_named(text, driver, tmp_path, monkeypatch):
    monkeypatch.setattr(module, '_DRIVER', tmp_path / 'version')
    if text is not None:
        (tmp_path / 'version').write_text(text)
    monkeypatch.setattr(torch.cuda, 'get_device_name', lambda device: 'NVIDIA H200')
    monkeypatch.setitem(sys.modules, 'triton', SimpleNamespace(__version__='3.6.0'))
    machine = describe_machine(torch.device('cuda'))
    assert machine['device'] == f'NVIDIA H200, CUDA {torch.version.cuda}'
    assert machine.get('driver') == driver and machine['Triton'] == '3.6.0'
