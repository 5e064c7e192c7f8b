"""Which weights of a checkpoint do not fit a model."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseTTAModel
from torch import nn

from mmseg_imbalance.losses.recall_loss import RecallLoss
from mmseg_imbalance.utils.checkpoints import TRUST, CheckpointError
from mmseg_imbalance.utils.misfits import MisfitHook, misfits


class Model(nn.Module):
    def __init__(self, classes=3, extra=False):
        super().__init__()
        self.decode_head = nn.Module()
        self.decode_head.conv_seg = nn.Conv2d(2, classes, 1)
        self.decode_head.bn = nn.BatchNorm2d(2)
        self.decode_head.loss_decode = RecallLoss(momentum=0.1)
        if extra:
            self.decode_head.extra = nn.Linear(2, 2)
            self.auxiliary_head = nn.Linear(2, 2)

    def test_step(self, data):
        raise NotImplementedError


class Augmented(BaseTTAModel):
    def merge_preds(self, data_samples_list):
        raise NotImplementedError


def saved(model, prefix=''):
    weights = {prefix + key: value for key, value in model.state_dict().items()}
    return dict(state_dict=weights, meta=dict(experiment_name='run_1'))


def resumable(model):
    checkpoint = saved(model) | dict(message_hub={}, optimizer=dict(state={}, param_groups=[]))
    checkpoint['meta'].update(iter=1, epoch=0)
    return checkpoint


LARGER = (
    '2 are missing or of another shape, such as decode_head.conv_seg.weight (4, 2, 1, 1) for '
    '(3, 2, 1, 1), decode_head.conv_seg.bias (4,) for (3,)'
)


@pytest.mark.parametrize('training', [False, True])
def test_what_fits(training):
    model = Model()
    assert misfits(model, saved(model), training) == []
    assert misfits(model, saved(model, 'module.'), training) == []
    assert misfits(model, saved(model)['state_dict'], training) == []  # weights alone
    counted = Model()
    counted.decode_head.loss_decode.running_counts = torch.ones(2, 3)
    assert misfits(model, saved(counted), training) == []  # the model has seen no batch yet


@pytest.mark.parametrize('training', [False, True])
def test_what_does_not_fit_is_named(training):
    model = Model()
    assert misfits(model, saved(Model(4)), training) == [LARGER]
    assert misfits(Augmented(model), saved(Model(4)), training) == [LARGER]
    lost = saved(model)
    del lost['state_dict']['decode_head.bn.running_mean']
    assert misfits(model, lost, training) == [
        '1 are missing or of another shape, such as decode_head.bn.running_mean'
    ]
    lost['state_dict'] = {}
    (clause,) = misfits(model, lost, training)
    assert clause.startswith(f'{len(model.state_dict()) if training else 6} are missing')
    assert misfits(Model(), dict(state_dict=dict(a=1)), training)[1] == (
        '1 are not in the model, such as a'
    )


def test_what_only_a_training_needs():
    """A further head, counts of batches and what a loss remembers."""
    small, large = Model(), Model(extra=True)
    only_head = ['2 are not in the model, such as decode_head.extra.weight, decode_head.extra.bias']
    assert misfits(small, saved(large)) == only_head
    (clause,) = misfits(small, saved(large), training=True)
    assert clause.startswith('4 are not in the model')
    for key in ('decode_head.loss_decode.running_counts', 'decode_head.bn.num_batches_tracked'):
        lost = saved(small)
        del lost['state_dict'][key]
        assert misfits(small, lost) == []
        assert misfits(small, lost, training=True) == [
            f'1 are missing or of another shape, such as {key}'
        ]


@pytest.mark.parametrize('training', [False, True])
def test_hook(training):
    hook = MisfitHook('iter_1.pth', training)
    runner = SimpleNamespace(model=Model(), cfg=Config(dict(work_dir='none')))
    hook.after_load_checkpoint(runner, resumable(Model()))
    with pytest.raises(CheckpointError) as error:
        hook.after_load_checkpoint(runner, resumable(Model(4)))
    message = str(error.value)
    assert message.startswith(f'the weights of iter_1.pth are of another model: {LARGER}; take the')
    assert 'that it was trained with, that of run_1' in message
    assert ('--cfg-options load_from=iter_1.pth' in message) is training


def test_hook_looks_into_what_a_training_goes_on_from(tmp_path, monkeypatch):
    """Nobody else does it with a checkpoint from a URL, whose config MMEngine would run."""
    monkeypatch.delenv(TRUST, raising=False)
    runner = SimpleNamespace(model=Model(), cfg=Config(dict(work_dir=str(tmp_path))))
    for part, message in (
        (dict(config='import os'), 'url holds meta.config, which MMEngine would run as Python'),
        (dict(iter=None), 'url holds no meta.iter, '),
    ):
        checkpoint = resumable(Model())
        checkpoint['meta'] |= part
        with pytest.raises(CheckpointError, match=message):
            MisfitHook('url', training=True).after_load_checkpoint(runner, checkpoint)
        MisfitHook('url', training=False).after_load_checkpoint(runner, checkpoint)
    with pytest.raises(CheckpointError, match='url holds no state_dict'):
        MisfitHook('url', training=True).after_load_checkpoint(runner, [torch.ones(2)])
