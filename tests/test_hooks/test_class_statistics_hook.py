"""Losses get the statistics of the training set before they are asked for anything."""

import os
from itertools import islice
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS, MODELS
from mmseg.utils import register_all_modules
from tiny_data import CLASSES, tiny_dataset
from tiny_run import PIXELS, SIZE, run, tiny_config
from torch import nn
from two_ranks import on_two_ranks

from mmseg_imbalance.datasets import class_statistics
from mmseg_imbalance.hooks.class_statistics_hook import ClassStatisticsHook, _find_losses
from mmseg_imbalance.losses import LogitAdjustedLoss, LossMaxPooling
from mmseg_imbalance.statistics import class_weights
from mmseg_imbalance.statistics.class_statistics import ClassStatistics
from mmseg_imbalance.utils.cpu_launch import prepare_cpu_launch

WCE = dict(type='WeightedCrossEntropyLoss', class_weight='median_frequency')
LA = dict(type='LogitAdjustedLoss')
NESTED = dict(type='LossMaxPooling', pixel_loss=LA)
HOOK = dict(type='ClassStatisticsHook', nproc=1)
# Pixels of each class in all label maps, see tiny_run.
COUNTS = np.sum([[SIZE[0] * SIZE[1] - sum(row), *row, 0] for row in PIXELS], 0)


@pytest.fixture(autouse=True)
def registered():
    register_all_modules(init_default_scope=True)


def config(folder, loss, **options):
    """A training with plain sampling, which does not count the classes itself."""
    cfg = tiny_config(folder, loss=loss, **options)
    cfg.train_dataloader.sampler = dict(type='InfiniteSampler')
    for step in cfg.train_dataloader.dataset.pipeline:
        if step.type == 'ClassAwareRandomCrop':
            step.type = 'RandomCrop'
            step.pop('class_prob')
    cfg.custom_hooks = [HOOK]
    return cfg


def expected_weights(folder):
    counted = class_statistics(tiny_dataset(folder / 'data'), folder / 'other.npz', nproc=1)
    np.testing.assert_array_equal(counted.pixels.sum(0), COUNTS)
    return class_weights(counted, 'median_frequency')


def log_of(folder):
    return next((folder / 'run').glob('*/*.log')).read_text()


def losses_of(trained):
    return trained.model.decode_head.loss_decode


@HOOKS.register_module(force=True)
class FirstStepHook(Hook):
    """Notes the class weights that the first iteration meets."""

    priority = 'VERY_HIGH'

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if not hasattr(self, 'weights'):
            self.weights = losses_of(runner).class_weight.tolist()


def test_class_weights_by_name(tmp_path):
    cfg = config(tmp_path, WCE)
    cfg.custom_hooks = [dict(type='FirstStepHook'), HOOK]
    trained = run(cfg)
    weights = expected_weights(tmp_path)
    assert weights[-1] == 0 and weights[0] < weights[1] < weights[2]
    np.testing.assert_allclose(losses_of(trained).class_weight.numpy(), weights, rtol=1e-6)
    (first,) = (hook for hook in trained.hooks if isinstance(hook, FirstStepHook))
    np.testing.assert_allclose(first.weights, weights, rtol=1e-6)
    log = log_of(tmp_path)
    assert 'class_weight (median_frequency) of decode_head.loss_decode\n' in log
    for name, count, weight in zip(CLASSES, COUNTS, weights, strict=True):
        share = 100 * count / COUNTS.sum()
        assert f'\n| {name:<6} | {share:>10.3g} | {weight:>31.3g} |\n' in log
    # no trace in the checkpoint, and the counts are kept beside the data
    assert not [key for key in saved(tmp_path)['state_dict'] if 'loss_decode' in key]
    (kept,) = (tmp_path / 'data/class_statistics').iterdir()
    np.testing.assert_array_equal(ClassStatistics.load(kept).pixels.sum(0), COUNTS)


def saved(folder):
    return torch.load(folder / 'run/iter_4.pth', weights_only=False)


@pytest.mark.elsewhere
def test_training_is_that_with_the_weights_given(tmp_path):
    write = tmp_path / 'name', tmp_path / 'list'
    run(config(write[0], WCE))
    by_list = config(write[1], dict(WCE, class_weight=expected_weights(write[0])))
    by_list.custom_hooks = []
    run(by_list)
    one, other = (saved(folder)['state_dict'] for folder in write)
    assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.elsewhere
def test_lists_nested_losses_and_auxiliary_heads(tmp_path):
    cfg = config(tmp_path, [WCE, dict(type='LossMaxPooling'), NESTED])
    cfg.model.auxiliary_head = dict(
        type='FCNHead', in_channels=32, in_index=2, channels=4, num_convs=1, concat_input=False,
        num_classes=4, loss_decode=dict(WCE, loss_weight=0.4),
    )  # fmt: skip
    trained = run(cfg)
    plain, pooling, nested = losses_of(trained)
    weights = expected_weights(tmp_path)
    prior = np.maximum(COUNTS, 1) / (COUNTS.sum() + 1)
    for loss in (plain, trained.model.auxiliary_head.loss_decode):
        np.testing.assert_allclose(loss.class_weight.numpy(), weights, rtol=1e-6)
    np.testing.assert_allclose(nested.pixel_loss.log_prior.exp().numpy(), prior, rtol=1e-5)
    assert pooling.class_weight is None
    log = log_of(tmp_path)
    shared = 'decode_head.loss_decode.0, auxiliary_head.loss_decode'
    assert (
        f'(median_frequency) of {shared}; prior of pixel_loss of decode_head.loss_decode.2\n' in log
    )
    assert log.count('| training % | class_weight (median_frequency) |') == 1


class LossForTests(nn.Module):
    """A loss of a user, which does not pass statistics on."""

    def __init__(self):
        super().__init__()
        self.inner = LogitAdjustedLoss()


def test_what_a_pooled_loss_holds_is_found_and_what_is_pooled_is_not():
    model = nn.ModuleDict(
        {
            'twice': LossMaxPooling(pixel_loss=LossMaxPooling(pixel_loss=LogitAdjustedLoss())),
            'holder': LossMaxPooling(pixel_loss=LossForTests()),
        }
    )
    assert list(_find_losses(model)) == ['twice', 'holder.pixel_loss.inner']


def test_without_such_a_loss_nothing_is_counted(tmp_path):
    for number, loss in enumerate(
        (
            dict(type='CrossEntropyLoss'),
            dict(WCE, class_weight=[1.0, 2, 3, 4]),
            dict(LA, prior=[4, 3, 2, 1]),
        )
    ):
        folder = tmp_path / str(number)
        run(config(folder, loss, iters=1))
        assert not (folder / 'data/class_statistics').exists()
        assert 'statistics of the training set' not in log_of(folder)


def test_without_the_hook_the_first_step_says_what_to_add(tmp_path):
    cfg = config(tmp_path, WCE)
    cfg.custom_hooks = []
    with pytest.raises(
        RuntimeError, match=r"custom_hooks = \[dict\(type='ClassStatisticsHook'\)\]"
    ):
        run(cfg)


def test_statistics_from_a_named_file(tmp_path):
    file = tmp_path / 'counted.npz'
    cfg = config(tmp_path, WCE, iters=1)
    cfg.custom_hooks = [dict(HOOK, statistics=str(file))]
    run(cfg)
    assert file.is_file() and not (tmp_path / 'data/class_statistics').exists()
    # it is read, not counted again
    counted = ClassStatistics.load(file)
    changed = counted.pixels * [[1], *[[5]] * (len(PIXELS) - 1)]
    parts = vars(counted) | dict(pixels=changed)
    other = ClassStatistics(**{key: parts[key] for key in ClassStatistics.__annotations__})
    other.save(file)
    trained = run(cfg)
    expected = class_weights(other, 'median_frequency')
    np.testing.assert_allclose(losses_of(trained).class_weight.numpy(), expected, rtol=1e-6)


@pytest.mark.elsewhere
def test_resumed_and_tested(tmp_path):
    run(config(tmp_path, WCE))
    again = config(tmp_path / 'again', WCE, train_cfg__max_iters=6)
    again.train_dataloader.dataset.data_root = str(tmp_path / 'data')
    again.load_from, again.resume = str(tmp_path / 'run/iter_4.pth'), True
    trained = run(again)
    assert trained.iter == 6
    weights = expected_weights(tmp_path)
    np.testing.assert_allclose(losses_of(trained).class_weight.numpy(), weights, rtol=1e-6)


def test_a_test_needs_no_statistics(tmp_path):
    run(config(tmp_path, WCE))
    for file in (tmp_path / 'data/class_statistics').iterdir():
        file.unlink()
    cfg = config(tmp_path, WCE, val=True)
    cfg.test_dataloader, cfg.test_cfg = cfg.val_dataloader, dict(type='TestLoop')
    cfg.test_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
    cfg.load_from = str(tmp_path / 'run/iter_4.pth')
    cfg.experiment_name = cfg.visualizer.name = f'test {tmp_path}'
    prepare_cpu_launch(cfg)
    assert Runner.from_cfg(cfg).test()['aAcc'] > 0
    assert not list((tmp_path / 'data/class_statistics').iterdir())


@pytest.mark.elsewhere
@pytest.mark.parametrize('update_buffers', (False, True))
def test_with_the_moving_average_of_the_model(tmp_path, update_buffers):
    """EMAHook copies the model, buffers too, before a training has statistics."""
    cfg = config(tmp_path, [WCE, NESTED])
    ema = dict(type='EMAHook', update_buffers=update_buffers)
    cfg.custom_hooks = [ema, HOOK]
    trained = run(cfg)
    (copy,) = (hook.ema_model.module for hook in trained.hooks if type(hook).__name__ == 'EMAHook')
    for one, other in zip(losses_of(trained), copy.decode_head.loss_decode, strict=True):
        for (name, a), (_, b) in zip(one.named_buffers(), other.named_buffers(), strict=True):
            assert len(a) == len(CLASSES) and torch.equal(a, b), name


def test_other_classes_are_named(tmp_path):
    cfg = config(tmp_path, dict(WCE, num_classes=5))
    message = (
        'decode_head.loss_decode has num_classes=5, but the training set has 4 classes: common'
    )
    with pytest.raises(ValueError, match=message):
        run(cfg)


def test_every_training_is_supplied_anew(tmp_path):
    """A model that is trained on one data set after another has the weights of the latter."""
    model = nn.Module()
    model.loss = MODELS.build(WCE)
    tiny_config(tmp_path)  # writes the images
    dataset = tiny_dataset(tmp_path / 'data')
    some = tiny_dataset(tmp_path / 'data', indices=[3, 7])
    for number, one in enumerate((dataset, some)):
        messages = []
        runner = SimpleNamespace(
            model=model,
            train_dataloader=SimpleNamespace(dataset=one, sampler=None, batch_sampler=None),
            logger=SimpleNamespace(info=messages.append),
            hooks=[],
        )
        ClassStatisticsHook(str(tmp_path / f'{number}.npz'), nproc=1).before_train(runner)
        counted = ClassStatistics.load(tmp_path / f'{number}.npz')
        expected = class_weights(counted, 'median_frequency')
        np.testing.assert_allclose(model.loss.class_weight.numpy(), expected, rtol=1e-6)
        assert len(counted.keys) == len(one) and len(messages) == 1


def _train_of_rank(rank, folder):
    torch.set_num_threads(1)
    os.environ['LOCAL_RANK'] = str(rank)  # as torchrun sets it
    register_all_modules(init_default_scope=True)
    cfg = config(folder, [WCE, NESTED], launcher='pytorch')
    trained = run(cfg)
    plain, nested = trained.model.module.decode_head.loss_decode
    torch.save((plain.class_weight, nested.pixel_loss.log_prior), folder / f'{rank}.pt')


def test_two_processes(tmp_path):
    tiny_config(tmp_path)  # writes the images
    on_two_ranks(_train_of_rank, tmp_path)
    weights = expected_weights(tmp_path)
    prior = np.maximum(COUNTS, 1) / (COUNTS.sum() + 1)
    for rank in (0, 1):
        class_weight, log_prior = torch.load(tmp_path / f'{rank}.pt')
        np.testing.assert_allclose(class_weight.numpy(), weights, rtol=1e-6)
        np.testing.assert_allclose(log_prior.exp().numpy(), prior, rtol=1e-5)
    log = ''.join(path.read_text() for path in (tmp_path / 'run').glob('*/*.log'))
    assert log.count('of decode_head.loss_decode.0') == 1  # not module.decode_head, and once
    assert log.count('Counting the classes') == 1


def seen_in(dataset, drawn):
    """Shares of the classes in images of a data set, each of which is drawn so often."""
    pixels = [
        np.bincount(dataset[i]['data_samples'].gt_sem_seg.data.numpy().ravel(), minlength=4)
        for i in range(len(dataset))
    ]
    counts = drawn @ np.array(pixels)
    return counts / counts.sum()


@pytest.mark.parametrize('class_prob', ['inverse', 'performance'])
def test_priors_are_those_of_what_the_sampler_draws(tmp_path, class_prob):
    cfg = config(tmp_path, LA, augment=False, iters=1)
    cfg.train_dataloader.sampler = dict(
        type='ClassBalancedInfiniteSampler', class_prob=class_prob, min_pixels=4
    )
    runner = run(cfg)
    dataset, sampler = runner.train_dataloader.dataset, runner.train_dataloader.sampler
    drawn = np.bincount(list(islice(sampler, 20_000)), minlength=len(dataset))
    prior = losses_of(runner).log_prior.exp().numpy()
    np.testing.assert_allclose(prior[:3], seen_in(dataset, drawn)[:3], rtol=0.05)
    assert prior[2] > 1.5 * COUNTS[2] / COUNTS.sum()  # the rare class
    assert 'as the class-balanced sampler is expected to draw images' in log_of(tmp_path)


def test_priors_count_repeated_images(tmp_path):
    cfg = config(tmp_path, LA, augment=False, iters=1)
    plain = cfg.train_dataloader.dataset
    rare = dict(type='RepeatDataset', times=9, dataset=dict(plain, indices=[2]))
    common = dict(plain, indices=[0, 1, 4])
    cfg.train_dataloader.dataset = dict(type='ConcatDataset', datasets=[common, rare])
    runner = run(cfg)
    prior = losses_of(runner).log_prior.exp().numpy()
    expected = seen_in(runner.train_dataloader.dataset, np.ones(12))
    np.testing.assert_allclose(prior[:3], expected[:3], rtol=1e-3)
    assert 'class-balanced sampler' not in log_of(tmp_path)


def test_crops_that_change_the_shares_are_named(tmp_path):
    cfg = tiny_config(tmp_path, loss=WCE, iters=1)
    cfg.custom_hooks = [HOOK]
    run(cfg)
    assert 'those in training are changed by ClassAwareRandomCrop' in log_of(tmp_path)
