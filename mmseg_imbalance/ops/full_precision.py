"""Matrix products that mixed precision leaves alone."""

from contextlib import nullcontext

import torch


def full_precision(device: torch.device):
    """Returns a context without autocast, which would round products to half precision.

    A backward pass inside ``torch.autocast``, though PyTorch advises against it, is under it too.
    """
    known = device.type in ('cpu', 'cuda')
    return torch.autocast(device.type, enabled=False) if known else nullcontext()
