"""Description of the machine that a measurement ran on."""

import platform
import re
from pathlib import Path

import torch

_DRIVER = Path('/proc/driver/nvidia/version')


def describe_machine(device: torch.device) -> dict[str, str]:
    """Returns the device in words, and the versions of Python and PyTorch.

    For a GPU, it also returns those of the driver and of Triton, as far as they can be found.
    """
    of_all = {'Python': platform.python_version(), 'PyTorch': torch.__version__}
    if device.type != 'cuda':
        return {'device': _cpu(), **of_all}
    name = f'{torch.cuda.get_device_name(device)}, CUDA {torch.version.cuda}'
    versions = {'driver': _driver(), 'Triton': _triton()}  # None where there is none
    return {'device': name, **of_all} | {key: found for key, found in versions.items() if found}


def _driver() -> str | None:
    try:
        found = re.search(r'Kernel Module\b.*?\s(\d+\.[\d.]+)\s', _DRIVER.read_text())
    except OSError:  # not Linux, or another driver
        return None
    return found and found[1]


def _triton() -> str | None:
    try:
        import triton
    except ImportError:
        return None
    return triton.__version__


def _cpu() -> str:
    model = platform.processor() or platform.machine()
    try:
        lines = Path('/proc/cpuinfo').read_text().splitlines()
    except OSError:  # not Linux
        lines = []
    for line in lines:
        if line.startswith('model name'):
            model = line.partition(':')[2].strip()
            break
    return f'{model}, {torch.get_num_threads()} threads'
