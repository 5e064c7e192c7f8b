"""bfloat16 inside the context, float32 outside."""

import pytest
import torch
from mmseg.registry import OPTIM_WRAPPERS

import mmseg_imbalance  # noqa: F401  (registers it)


@pytest.mark.elsewhere
def test_forward_runs_in_bfloat16_and_weights_stay_float32():
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    wrapper = OPTIM_WRAPPERS.build(dict(type='BFloat16OptimWrapper', optimizer=optimizer))
    before = model.weight.clone()
    with wrapper.optim_context(model):
        out = model(torch.ones(1, 3))
    assert out.dtype == torch.bfloat16
    wrapper.update_params(out.float().sum())
    assert model.weight.dtype == torch.float32
    torch.testing.assert_close(model.weight, before - 0.1)
    assert model(torch.ones(1, 3)).dtype == torch.float32
