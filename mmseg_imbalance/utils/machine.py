"""Description of the machine that a measurement ran on."""

import platform
from pathlib import Path

import torch


def describe_machine(device: torch.device) -> dict[str, str]:
    """Returns the device in words, and the versions of Python and PyTorch."""
    return {
        'device': _gpu(device) if device.type == 'cuda' else _cpu(),
        'Python': platform.python_version(),
        'PyTorch': torch.__version__,
    }


def _gpu(device: torch.device) -> str:
    return f'{torch.cuda.get_device_name(device)}, CUDA {torch.version.cuda}'


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
