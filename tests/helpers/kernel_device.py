"""Where the kernels are tested: on a GPU if there is one, else by Triton's interpreter on a CPU.

To be imported before the kernels, which the interpreter takes over when they are defined.
"""

import importlib
import os

import pytest
import torch

ON_A_GPU = torch.cuda.is_available()
DEVICE = torch.device('cuda' if ON_A_GPU else 'cpu')
if not ON_A_GPU:
    os.environ['TRITON_INTERPRET'] = '1'
pytest.importorskip('triton', reason='the kernels are written in Triton')

# What a GPU computes with NaN and infinity without a word, NumPy warns of.
marks = [pytest.mark.filterwarnings('ignore::RuntimeWarning')]
if ON_A_GPU:
    marks.append(pytest.mark.gpu)

_USERS = (
    'mmseg_imbalance.ops.per_pixel',
    'mmseg_imbalance.ops.pixel_cross_entropy',
    'mmseg_imbalance.ops.max_pooling',
    'mmseg_imbalance.ops.class_counts',
    'mmseg_imbalance.ops.lovasz',
    'mmseg_imbalance.losses.pixel_weighting_loss',
)


def use_kernels(monkeypatch, wanted: bool) -> None:
    """Has the operations use the kernels on any device, or on none."""

    def apply(tensor):
        return wanted and tensor.dtype != torch.float64 and tensor.numel() > 0

    for name in _USERS:
        monkeypatch.setattr(importlib.import_module(name), 'kernels_apply', apply)
