"""Tensors without the class that a framework gave them."""

from torch import Tensor
from torch.overrides import has_torch_function

from .compiling import is_compiling


def plain_tensor(tensor: Tensor) -> Tensor:
    """Returns the same values as a plain tensor, through which gradients flow back.

    A class such as MONAI's ``MetaTensor`` takes part in every operation on its tensors: it carries
    metadata along, which takes time, and some operations fail. What is no tensor of such a class
    is returned as it is.

    Example:
        >>> import torch
        >>> class Named(torch.Tensor):
        ...     pass
        >>> type(plain_tensor(torch.ones(2).as_subclass(Named)))
        <class 'torch.Tensor'>
    """
    # A default device that PyTorch was told to use makes `has_torch_function` true of anything.
    if not isinstance(tensor, Tensor) or is_compiling() or not has_torch_function((tensor,)):
        return tensor
    return tensor.as_subclass(Tensor)
