"""Resizing of logits on the fly: what is kept of it; values are tested with cross-entropy."""

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from mmseg_imbalance.ops.bilinear import bilinear


def test_fake_tensors_are_not_kept_for_real_ones():
    given = ((3, 4), (7, 9), False, torch.device('cpu'), torch.float32)
    with FakeTensorMode():
        bilinear(*given)
    real = bilinear(*given)
    assert real.up(torch.rand(2, 3, 4), slice(0, 7)).isfinite().all()
    assert bilinear(*given) is real
