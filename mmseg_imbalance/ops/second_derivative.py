"""What backward passes without a derivative of their own answer to a second one."""

import torch

from .compiling import is_compiling


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
