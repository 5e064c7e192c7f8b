"""The machine that something was measured on."""

import torch

from mmseg_imbalance.utils.machine import describe_machine


def test_machine_and_versions_are_named():
    machine = describe_machine(torch.device('cpu'))
    assert machine['PyTorch'] == torch.__version__
    assert machine['device'].endswith(f', {torch.get_num_threads()} threads')
    assert len(machine['device']) > len(', 16 threads')
