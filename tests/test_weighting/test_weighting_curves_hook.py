"""Curves of a weighting: what is written of them, on two ranks, and without a trace."""

import argparse
import json
import os
from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import Hook
from mmseg.registry import HOOKS, MODELS
from mmseg.utils import register_all_modules
from scalars import Scalars
from tiny_data import CLASSES
from tiny_run import run, tiny_config
from torch import nn
from two_ranks import on_two_ranks

from mmseg_imbalance.utils.run_config import add_config_arguments, load_config
from mmseg_imbalance.utils.shipped import config_path
from mmseg_imbalance.weighting.record import curves_of, weigh
from mmseg_imbalance.weighting.weighting_curves_hook import WeightingCurvesHook

LMP, RECALL = dict(type='LossMaxPooling'), dict(type='RecallLoss', floor=0)
CE = dict(type='CrossEntropyLoss')


@pytest.fixture(autouse=True)
def registered():
    register_all_modules(init_default_scope=True)


@HOOKS.register_module(force=True)
class KeepBatchHook(Hook):
    """Keeps what the loss was last called with in every iteration."""

    batches = {}

    def before_train(self, runner):
        loss = runner.model.decode_head.loss_decode
        loss.register_forward_pre_hook(lambda _, args: self._keep(runner.iter + 1, args))

    def _keep(self, step, args):
        self.batches[step] = tuple(one.detach().clone() for one in args[:2])


def expected_curves(cfg, logits, label, classes):
    """The curves of a batch by their written names, without those of absent classes."""
    loss = MODELS.build(cfg)
    curves = curves_of(loss, weigh(loss, logits, label))
    weights = zip(classes, curves.pop('class_weight'), strict=True)
    curves |= {f'class_weight/{name}': weight for name, weight in weights if not weight.isnan()}
    return {f'train/{name}': value.item() for name, value in curves.items()}


@pytest.mark.elsewhere
@pytest.mark.parametrize('loss', (LMP, RECALL), ids=lambda loss: loss['type'])
def test_curves_of_a_training(tmp_path, loss):
    cfg = tiny_config(tmp_path, iters=5, loss=loss)
    cfg.custom_hooks = [
        dict(type='WeightingCurvesHook', interval=2),
        dict(type='KeepBatchHook'),
        dict(type='ClassFeedbackHook', interval=2),
    ]
    trained = run(cfg)

    vis_data = next((tmp_path / 'run').glob('*/vis_data'))
    lines = [json.loads(line) for line in (vis_data / 'scalars.json').read_text().splitlines()]
    curves = {line.pop('step'): line for line in lines if 'train/mean_weight' in line}
    assert list(curves) == [2, 4]
    for step, written in curves.items():
        expected = expected_curves(loss, *KeepBatchHook.batches[step], CLASSES)
        assert written.pop('iter') == step
        assert written == pytest.approx(expected, rel=1e-3, abs=1e-6)
    log = next((tmp_path / 'run').glob('*/*.log')).read_text()
    assert 'mean_weight' not in log and 'class_weight/' not in log  # the terminal stays readable
    assert not trained.model.decode_head.loss_decode._forward_hooks


@pytest.mark.parametrize('loss', (LMP, dict(RECALL, momentum=0.1), CE), ids=('lmp', 'recall', 'ce'))
def test_training_is_the_same_with_and_without(tmp_path, loss):
    weights = []
    hooks = [dict(type='WeightingCurvesHook', interval=1), dict(type='PixelWeightPictureHook')]
    for custom_hooks in ([], [hooks[0], dict(hooks[1], interval=2)]):
        folder = tmp_path / str(len(custom_hooks))
        cfg = tiny_config(folder, loss=loss, train_dataloader__sampler__class_prob='rare')
        cfg.custom_hooks = custom_hooks
        run(cfg)
        weights.append(torch.load(folder / 'run/iter_4.pth', weights_only=False)['state_dict'])
    assert weights[0].keys() == weights[1].keys()
    for name, value in weights[0].items():
        assert torch.equal(value, weights[1][name]), name


CURVES = {'ClassFeedbackHook', 'WeightingCurvesHook'}


def test_shipped_configs_draw_curves_until_one_line_turns_them_off(tmp_path):
    parser = argparse.ArgumentParser()
    add_config_arguments(parser)
    config = config_path('loss_max_pooling/lmp_deeplabv3-r18-d8_1xb8-800_toy-streets-128x256.py')
    hooks = {}
    for option in ([], ['--cfg-options', 'custom_hooks=[]']):
        args = parser.parse_args([str(config), *option])
        hooks[len(option)] = load_config(args.config, args.cfg_options).custom_hooks
    assert CURVES <= {hook.type for hook in hooks[0]}
    assert hooks[2] == []
    scalars = {}
    for name, custom_hooks in hooks.items():
        cfg = tiny_config(tmp_path / str(name), iters=2, loss=LMP)
        cfg.custom_hooks = [
            dict(hook, interval=2) if hook.type in CURVES else hook for hook in custom_hooks
        ]
        cfg.train_dataloader.sampler.class_prob = 'rare'
        run(cfg)
        scalars[name] = next((tmp_path / str(name) / 'run').rglob('scalars.json')).read_text()
    for curve in ('train/recall/', 'train/class_prob/', 'train/support_90', 'train/class_weight/'):
        assert curve in scalars[0] and curve not in scalars[2]


def runner(*losses, cascade=False):
    """A training of a model that is nothing but its head's losses."""
    head, model = nn.Module(), nn.Module()
    head.loss_decode = losses[0] if len(losses) == 1 else nn.ModuleList(losses)
    model.decode_head = nn.ModuleList([nn.Module(), head]) if cascade else head
    model.auxiliary_head = nn.Module()
    model.auxiliary_head.loss_decode = MODELS.build(CE)
    dataset = SimpleNamespace(metainfo=dict(classes=('a', 'b', 'c')))
    return SimpleNamespace(
        model=model,
        train_dataloader=SimpleNamespace(dataset=dataset),
        iter=0,
        visualizer=Scalars(),
    )


def batch(seed, classes=3):
    g = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, classes, 6, 7, generator=g)
    label = torch.randint(0, classes, (2, 6, 7), generator=g)
    label[torch.rand(label.shape, generator=g) < 0.2] = 255
    return logits, label


def step(hook, fake, *batches, loss=None):
    head = fake.model.decode_head
    loss = loss or (head[-1] if isinstance(head, nn.ModuleList) else head).loss_decode
    hook.before_train_iter(fake, fake.iter)
    for one in batches:
        loss(*one, ignore_index=255)
    hook.after_train_iter(fake, fake.iter)
    fake.iter += 1


def mean_weight(cfg, one):
    loss = MODELS.build(cfg)
    return curves_of(loss, weigh(loss, *one))['mean_weight'].item()


def test_only_the_chosen_iterations_are_kept():
    loss = MODELS.build(RECALL)
    fake, hook = runner(loss), WeightingCurvesHook(interval=3)
    hook.before_train(fake)
    kept = []
    loss.register_forward_hook(lambda *_: kept.append(hook._recorder._call is not None))
    for i in range(7):
        step(hook, fake, batch(i))
        assert hook._recorder._call is None
    assert kept == [False, False, True, False, False, True, False]
    assert list(fake.visualizer.written) == [3, 6]
    for i in (3, 6):
        expected = mean_weight(RECALL, batch(i - 1))
        assert fake.visualizer.written[i]['train/mean_weight'] == pytest.approx(expected)


def test_two_hooks_at_one_loss():
    fake = runner(MODELS.build(RECALL))
    hooks = [WeightingCurvesHook(interval=2), WeightingCurvesHook(interval=1)]
    for hook in hooks:
        hook.before_train(fake)
    loss = fake.model.decode_head.loss_decode
    for i in range(2):
        for hook in hooks:
            hook.before_train_iter(fake, i)
        loss(*batch(i))
        for hook in hooks:
            fake.visualizer = Scalars()
            hook.after_train_iter(fake, i)
            if hook.interval == 1 or i == 1:
                expected = mean_weight(RECALL, batch(i))
                assert fake.visualizer.written[i + 1]['train/mean_weight'] == expected
        assert all(hook._recorder._call is None for hook in hooks)
        fake.iter += 1


@pytest.mark.parametrize(
    ('losses', 'path', 'chosen'),
    [
        ((RECALL,), None, 0),
        ((CE, RECALL), None, 1),
        ((LMP, RECALL), None, 0),
        ((LMP, RECALL), 'decode_head.loss_decode.1', 1),
        ((CE, LMP), 'decode_head.loss_decode', 1),
    ],
)
@pytest.mark.parametrize('cascade', (False, True))
def test_where_it_looks(losses, path, chosen, cascade):
    built = [MODELS.build(loss) for loss in losses]
    fake = runner(*built, cascade=cascade)
    if cascade and path:
        path = path.replace('head', 'head.1', 1)
    hook = WeightingCurvesHook(interval=1, loss=path)
    hook.before_train(fake)
    step(hook, fake, batch(0), loss=built[chosen])
    expected = mean_weight(losses[chosen], batch(0))
    assert fake.visualizer.written[1]['train/mean_weight'] == pytest.approx(expected)


def test_compiled_loss():
    loss = MODELS.build(LMP)
    fake = runner(torch.compile(loss, backend='aot_eager', fullgraph=True))
    hook = WeightingCurvesHook(interval=2)
    hook.before_train(fake)
    for i in range(6):
        step(hook, fake, batch(i))
        assert hook._recorder._call is None
    assert list(fake.visualizer.written) == [2, 4, 6]
    for i, written in fake.visualizer.written.items():
        expected = mean_weight(LMP, batch(i - 1))
        assert written['train/mean_weight'] == pytest.approx(expected, rel=1e-5)


def test_other_losses_have_no_curves():
    fake, hook = runner(MODELS.build(CE)), WeightingCurvesHook(interval=1)
    hook.before_train(fake)
    step(hook, fake, batch(0))
    assert fake.visualizer.written == {}
    with pytest.raises(ValueError, match='weighs pixels; auxiliary_head.loss_decode is CrossEnt'):
        WeightingCurvesHook(loss='auxiliary_head.loss_decode').before_train(fake)


def test_what_cannot_be_is_named():
    with pytest.raises(ValueError, match='interval must be a number of iterations ≥ 1, got 0'):
        WeightingCurvesHook(interval=0)
    fake, hook = runner(MODELS.build(LMP)), WeightingCurvesHook(interval=1)
    with pytest.raises(ValueError, match="WeightingCurvesHook: the model has no module 'neck'"):
        WeightingCurvesHook(loss='neck').before_train(fake)
    hook.before_train(fake)
    with pytest.raises(RuntimeError, match='loss of decode_head took no part in the iteration'):
        step(hook, fake)
    with pytest.raises(ValueError, match='logits of 4 classes, the data set has 3'):
        step(hook, fake, batch(0, classes=4))


def _average(rank, folder):
    os.environ['LOCAL_RANK'] = str(rank)
    register_all_modules(init_default_scope=True)
    fake, hook = runner(MODELS.build(RECALL)), WeightingCurvesHook(interval=1)
    hook.before_train(fake)
    logits, label = batch(rank)
    label[label == 0] = 255  # nobody has class a
    if rank == 1:
        label[label == 2] = 255  # and only rank 0 has c
    step(hook, fake, (logits, label))
    torch.save((fake.visualizer.written[1], logits, label), folder / f'{rank}.pt')


def test_two_processes_write_the_average_of_those_that_have_the_class(tmp_path):
    on_two_ranks(_average, tmp_path)
    (first, *one), (second, *two) = (
        torch.load(tmp_path / f'{rank}.pt', weights_only=False) for rank in (0, 1)
    )
    assert first == second
    one, two = (
        expected_curves(RECALL, logits, label, ('a', 'b', 'c')) for logits, label in (one, two)
    )
    c = 'train/class_weight/c'
    assert c in one and c not in two and one[c] > 0
    average = {name: (one[name] + two[name]) / 2 for name in two} | {c: one[c]}
    assert first == pytest.approx(average)
    assert 'train/class_weight/a' not in first
