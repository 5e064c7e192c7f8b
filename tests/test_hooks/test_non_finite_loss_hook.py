"""A training that meets a NaN: where it ends, and what it says."""

import math
import os
import re
from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import Hook
from mmseg.registry import HOOKS
from mmseg.utils import register_all_modules
from tiny_data import CLASSES
from tiny_run import run, tiny_config
from torch import nn
from two_ranks import on_two_ranks

from mmseg_imbalance.hooks.non_finite_loss_hook import NonFiniteLossHook

LMP, RECALL = dict(type='LossMaxPooling'), dict(type='RecallLoss')
CE = dict(type='CrossEntropyLoss')
CHECK = dict(type='NonFiniteLossHook')
PLACE = (1, 2, 3)  # image, row, column


@pytest.fixture(autouse=True)
def registered():
    register_all_modules(init_default_scope=True)


@HOOKS.register_module(force=True)
class PoisonHook(Hook):
    """Puts a value into the logits of a pixel, just before a loss sees them."""

    def __init__(self, value=math.nan, iteration=3, loss='decode_head.loss_decode'):
        self.value, self.iteration, self.loss = value, iteration, loss

    def before_train(self, runner):
        self.now = 0
        runner.model.get_submodule(self.loss).register_forward_pre_hook(self._poison)

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.now = runner.iter + 1
        PoisonHook.batch = data_batch

    def _poison(self, loss, args):
        logits, label = args
        if self.now != self.iteration:
            return None
        image, row, column = PLACE
        PoisonHook.label = label[PLACE].item()
        chosen = torch.zeros_like(logits, dtype=torch.bool)
        chosen[image, :, row, column] = True
        return logits + torch.where(chosen, self.value, 0.0), label


def train(folder, *hooks, loss=LMP, **options):
    cfg = tiny_config(folder, loss=loss, augment=False, **options)
    cfg.custom_hooks = list(hooks)
    return run(cfg)


@pytest.mark.elsewhere
@pytest.mark.parametrize('loss', (LMP, RECALL, CE), ids=lambda loss: loss['type'])
def test_names_the_pixel(tmp_path, loss):
    with pytest.raises(FloatingPointError) as error:
        train(tmp_path, dict(type='PoisonHook'), CHECK, loss=loss)
    key = {'LossMaxPooling': 'loss_lmp', 'RecallLoss': 'loss_recall'}.get(loss['type'], 'loss_ce')
    path = PoisonHook.batch['data_samples'][1].img_path
    label, total = PoisonHook.label, 2 * 32 * 32
    assert str(error.value) == (
        f'iteration 3: {key} (decode_head.loss_decode) is nan: {path}, row 2, column 3 of the '
        f'crop, label {label} ({CLASSES[label]}): its logits hold nan (4 of 4 classes); 1 such '
        f'pixel among {total} valid ones in the batch'
    )


def test_the_weights_are_those_before_the_iteration(tmp_path):
    seen = {}

    @HOOKS.register_module(force=True)
    class KeepModelHook(Hook):
        def before_train(self, runner):
            seen['model'] = runner.model

        def before_train_iter(self, runner, batch_idx, data_batch=None):
            seen['before'] = {k: p.clone() for k, p in runner.model.named_parameters()}

    with pytest.raises(FloatingPointError):
        train(tmp_path, dict(type='KeepModelHook'), dict(type='PoisonHook'), CHECK)
    after = dict(seen['model'].named_parameters())
    assert all(torch.equal(p, after[k]) for k, p in seen['before'].items())
    assert not seen['model'].decode_head.loss_decode._forward_hooks  # nor does it listen on


def test_a_finite_training_is_the_same_bit_for_bit(tmp_path):
    plain = train(tmp_path / 'plain', loss=[LMP, CE])
    checked = train(tmp_path / 'checked', CHECK, loss=[LMP, CE])
    states = [runner.model.state_dict() for runner in (plain, checked)]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    for loss in checked.model.decode_head.loss_decode:
        assert not loss._forward_hooks


def test_every_loss_of_a_list_is_looked_at(tmp_path):
    poison = dict(type='PoisonHook', loss='decode_head.loss_decode.1', value=-math.inf, iteration=1)
    message = r'^iteration 1: loss_ce \(decode_head.loss_decode.1\) is .*logits hold -inf \(4 of 4'
    with pytest.raises(FloatingPointError, match=message):
        train(tmp_path, poison, CHECK, loss=[LMP, CE])


def test_interval(tmp_path):
    second = dict(CHECK, interval=2)
    once = dict(type='PoisonHook', loss='decode_head.loss_decode.0')
    with pytest.raises(FloatingPointError, match=r'^iteration 4: .*: (\S+) of the model is not f'):
        train(tmp_path / 'missed', once, second, loss=[LMP])
    with pytest.raises(FloatingPointError, match='^iteration 4: .* row 2, column 3'):
        train(tmp_path / 'seen', dict(once, iteration=4), second, loss=[LMP])
    with pytest.raises(ValueError, match='interval must be .* ≥ 1, got 0'):
        NonFiniteLossHook(interval=0)


def test_broken_weights_are_named(tmp_path):
    @HOOKS.register_module(force=True)
    class BreakWeightsHook(Hook):
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            runner.model.decode_head.conv_seg.bias.data[1] = math.nan

    message = r'^iteration 2: .* is nan: decode_head.conv_seg.bias of the model is not finite'
    with pytest.raises(FloatingPointError, match=message):
        train(tmp_path, dict(type='BreakWeightsHook'), CHECK)


@pytest.mark.elsewhere
def test_with_the_hard_example_pixel_sampler(tmp_path):
    sampler = dict(type='OHEMPixelSampler', min_kept=2000)
    with pytest.raises(FloatingPointError, match='row 2, column 3 .* logits hold nan'):
        train(tmp_path, dict(type='PoisonHook'), CHECK, model__decode_head__sampler=sampler)


def test_a_pooled_loss_is_named_as_the_whole(tmp_path):
    """Not as the loss inside, which is asked for single pixels."""
    pooled = dict(LMP, pixel_loss=dict(type='SoftmaxFocalLoss'))
    with pytest.raises(FloatingPointError, match=r': loss_lmp \(decode_head.loss_decode\) is nan'):
        train(tmp_path, dict(type='PoisonHook', iteration=1), CHECK, loss=pooled)


class Stub(nn.Module):
    """A loss that returns what it is told to."""

    loss_name = 'loss_stub'

    def forward(self, pred, label, weight=None):
        return pred.sum() * self.value


def listening(model, classes=CLASSES):
    """The hook in a first iteration, of a batch without names of files."""
    dataset = SimpleNamespace(metainfo=dict(classes=classes))
    runner = SimpleNamespace(
        model=model, train_dataloader=SimpleNamespace(dataset=dataset), iter=0
    )  # fmt: skip
    hook = NonFiniteLossHook()
    hook.before_train(runner)
    hook.before_train_iter(runner, 0, dict(inputs=[]))
    return hook


def test_a_loss_that_does_not_show_what_it_does():
    stub = Stub()
    listening(nn.ModuleDict(dict(head=stub)))
    label = torch.zeros(2, 3, 4, dtype=torch.int64)
    stub.value = 1.0
    assert stub(torch.ones(2, 4, 3, 4), label) == 96
    stub.value = math.inf
    message = (
        r'loss_stub \(head\) is inf: logits, weights and losses of all pixels are finite, their sum'
    )
    with pytest.raises(FloatingPointError, match=message):
        stub(torch.ones(2, 4, 3, 4), label)


@pytest.mark.parametrize(
    'label', [torch.zeros(2, dtype=torch.int64), torch.ones(2, 3, 4), None], ids=str
)
def test_a_loss_that_is_not_of_labels(label):
    """Such as one of depths."""
    stub = Stub()
    stub.value = math.inf
    listening(nn.ModuleDict(dict(head=stub)))
    with pytest.raises(FloatingPointError, match=r'is inf: it is not called with logits \(N, C'):
        stub(torch.ones(2, 4, 3, 4), label)


def test_an_image_without_a_name_and_channels_that_are_no_classes():
    stub = Stub()
    listening(nn.ModuleDict(dict(head=stub)))
    stub.value, pred = 1.0, torch.ones(2, 1, 3, 4)
    pred[1, 0, 2, 1] = math.nan
    message = 'is nan: image 1 of the batch, row 2, column 1 of the crop, label 0: its logits hold'
    with pytest.raises(FloatingPointError, match=message):
        stub(pred, torch.zeros(2, 3, 4, dtype=torch.int64))


def test_a_weight_that_a_loss_gets_in_its_place():
    stub, weight = Stub(), torch.ones(1, 3, 4)
    listening(nn.ModuleDict(dict(head=stub)))
    weight[0, 2, 1], stub.value = math.inf, math.inf
    with pytest.raises(FloatingPointError, match='row 2, column 1 .*: its weight is inf'):
        stub(torch.ones(1, 4, 3, 4), torch.ones(1, 3, 4, dtype=torch.int64), weight)


def test_compiled_losses_are_looked_at():
    torch._dynamo.reset()
    stub = Stub()
    model = nn.ModuleDict(dict(head=torch.compile(stub, backend='eager')))
    stub.value, label = 1.0, torch.zeros(2, 3, 4, dtype=torch.int64)
    listening(model)
    assert model['head'](torch.ones(2, 4, 3, 4), label) == 96
    with pytest.raises(FloatingPointError, match=r'loss_stub \(head\) is nan: .* logits hold nan'):
        model['head'](torch.full((2, 4, 3, 4), math.nan), label)


def test_a_model_without_a_loss_is_named():
    with pytest.raises(ValueError, match='NonFiniteLossHook: the model has no loss to listen at'):
        listening(nn.Linear(1, 1))


def _train_of_rank(rank, folder):
    torch.set_num_threads(1)
    os.environ['LOCAL_RANK'] = str(rank)
    loss = dict(RECALL, sync=True)
    cfg = tiny_config(folder, loss=loss, launcher='pytorch', augment=False)
    poison = dict(type='PoisonHook', loss='module.decode_head.loss_decode', iteration=2)
    cfg.custom_hooks = [poison, CHECK] if rank else [CHECK]
    run(cfg)


@pytest.mark.slow
def test_one_of_two_processes_ends_both(tmp_path):
    tiny_config(tmp_path)  # writes the images
    with pytest.raises(torch.multiprocessing.ProcessRaisedException) as error:
        on_two_ranks(_train_of_rank, tmp_path)
    message = r'FloatingPointError: iteration 2 of process 1: loss_recall \(decode_head.loss_decode'
    assert re.search(message, str(error.value))
    assert 'row 2, column 3 of the crop' in str(error.value)
