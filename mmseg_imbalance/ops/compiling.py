"""What compilation, autocast and second derivatives ask of code."""

from contextlib import nullcontext

import torch

# PyTorch 2.1 and 2.2 know it by its older name only.
is_compiling = getattr(torch.compiler, 'is_compiling', None) or torch._dynamo.is_compiling

COMPILES_FUNCTIONS = torch.__version__ >= (2, 4)
"""Whether a compiled graph can hold custom autograd functions."""


def refuse_second_derivative(function: str) -> None:
    """Refuses to be part of a backward pass with ``create_graph=True``.

    Args:
        function: The name of the function whose backward pass this is.

    Raises:
        RuntimeError: In such a pass, except while compiling.
    """
    if torch.is_grad_enabled() and not is_compiling():
        raise RuntimeError(
            f'{function} is differentiable once: it cannot be differentiated with create_graph=True'
        )


def full_precision(device: torch.device):
    """Returns a context without autocast, which would round matrix products to half precision.

    A backward pass inside ``torch.autocast``, though PyTorch advises against it, is under it too.
    """
    known = device.type in ('cpu', 'cuda')
    return torch.autocast(device.type, enabled=False) if known else nullcontext()
