"""Mixed precision without loss scaling."""

from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from mmengine.runner.amp import autocast
from mmseg.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Trains under bfloat16 autocast, on a CPU or on a GPU that supports bfloat16.

    MMEngine's ``AmpOptimWrapper`` cannot be built on a CPU. bfloat16 has the exponent range of
    float32, so gradients do not underflow and no loss scaler is needed.

    Args:
        **kwargs: Arguments of :class:`mmengine.optim.OptimWrapper`.

    Example:
        >>> optim_wrapper = dict(type='BFloat16OptimWrapper', optimizer=dict(type='SGD', lr=0.01))
    """

    @contextmanager
    def optim_context(self, model: torch.nn.Module):
        """Runs the forward pass of a training step under autocast.

        Args:
            model: The model in training.
        """
        with super().optim_context(model), autocast(dtype=torch.bfloat16):
            yield
