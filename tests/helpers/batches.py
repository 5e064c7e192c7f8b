"""Random batches for losses, gradients, and a detector of host synchronisations."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode

NUM_CLASSES = 5


def draw_batch(seed: int = 0, shape=(2, NUM_CLASSES, 9, 11), ignored: float = 0.2):
    """Logits and labels with one image that lacks the last class."""
    g = torch.Generator().manual_seed(seed)
    n, c, h, w = shape
    logits = 2 * torch.randn(shape, generator=g)
    label = torch.randint(0, c, (n, h, w), generator=g)
    label[0][label[0] == c - 1] = 0
    label[torch.rand((n, h, w), generator=g) < ignored] = 255
    return logits, label


def value_and_gradient(loss, logits, *args, **kwargs):
    """The loss of logits, and its gradient with respect to them."""
    logits = logits.clone().requires_grad_()
    value = loss(logits, *args, **kwargs)
    (grad,) = torch.autograd.grad(value, logits)
    return value.detach(), grad


class NoHostSync(TorchDispatchMode):
    """Refuses the operations that wait for the device or whose size depends on values.

    On a CPU, which nothing waits for, some of these are allowed: what is checked goes to the
    device ``'meta'``, where code takes the path of a GPU.
    """

    FORBIDDEN = (
        'aten::_local_scalar_dense', 'aten::item', 'aten::nonzero', 'aten::_unique', 'aten::unique',
        'aten::masked_select', 'aten::bincount', 'aten::sort', 'aten::topk', 'aten::equal',
    )  # fmt: skip

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.name().split('.')[0]
        indices = args[1] if name in ('aten::index', 'aten::index_put', 'aten::index_put_') else ()
        if name.startswith(self.FORBIDDEN) or any(
            i is not None and i.dtype in (torch.bool, torch.uint8) for i in indices
        ):
            raise AssertionError(f'{func.name()} waits for the device')
        return func(*args, **(kwargs or {}))
