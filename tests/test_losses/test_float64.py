"""Which losses need a device with float64, such as Apple's GPUs are not."""

import pytest
import torch
from batches import draw_batch
from loss_configs import LMP, loss_configs, name, region_configs
from mmseg.registry import MODELS
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from mmseg_imbalance.losses import segmentation_loss


class SeesFloat64(TorchDispatchMode):
    """Notes whether an operation has a result in float64."""

    seen = False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        results = func(*args, **(kwargs or {}))
        tensors = (x for x in tree_flatten(results)[0] if isinstance(x, torch.Tensor))
        self.seen |= any(tensor.dtype == torch.float64 for tensor in tensors)
        return results


@pytest.mark.parametrize('cfg', [*loss_configs(), *region_configs(), dict(LMP, ratio=1)], ids=name)
def test_losses_say_whether_they_need_it(cfg):
    loss = MODELS.build(cfg)
    logits, label = draw_batch()
    with SeesFloat64() as mode:
        loss(logits.requires_grad_(), label).backward()
    assert loss.needs_float64 == mode.seen


@pytest.mark.parametrize('cfg', loss_configs() + region_configs(), ids=name)
def test_without_it_an_error_says_what_to_do(cfg, monkeypatch):
    monkeypatch.setattr(segmentation_loss, '_WITHOUT_FLOAT64', ('cpu',))
    loss = MODELS.build(cfg)
    if not loss.needs_float64:
        loss(*draw_batch())
        return
    with pytest.raises(RuntimeError, match=r'of type cpu does not have: leave the loss on the CPU'):
        loss(*draw_batch())
