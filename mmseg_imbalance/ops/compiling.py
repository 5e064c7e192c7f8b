"""Whether code is being compiled, and what PyTorch can compile."""

import torch

# PyTorch 2.1 and 2.2 know it by its older name only.
is_compiling = getattr(torch.compiler, 'is_compiling', None) or torch._dynamo.is_compiling

COMPILES_FUNCTIONS = torch.__version__ >= (2, 4)
"""Whether a compiled graph can hold custom autograd functions."""
