"""Whether code is being compiled."""

import torch

# PyTorch 2.1 and 2.2 have it under its older name only.
is_compiling = getattr(torch.compiler, 'is_compiling', None) or torch._dynamo.is_compiling
