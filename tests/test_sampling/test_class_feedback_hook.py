"""Counting, curves, feedback; and that a resumed training equals an uninterrupted one."""

import json
import math
import os
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from batches import NoHostSync
from checkpoint_files import same
from mmengine.dataset import InfiniteSampler
from mmengine.hooks import Hook
from mmengine.structures import PixelData
from mmseg.registry import HOOKS, MODELS
from mmseg.structures import SegDataSample
from mmseg.utils import register_all_modules
from scalars import Scalars
from tiny_run import run, tiny_config
from torch import nn
from two_ranks import on_two_ranks

from mmseg_imbalance.sampling.class_feedback_hook import ClassFeedbackHook

CLASSES = ('a', 'b', 'c')


@pytest.fixture(autouse=True)
def registered():
    register_all_modules(init_default_scope=True)


class Model(nn.Module):
    """A model that is nothing but its head's losses."""

    def __init__(self, loss=None, cascade=False):
        super().__init__()
        head = nn.Module()
        head.loss_decode = loss or MODELS.build(dict(type='CrossEntropyLoss'))
        self.decode_head = nn.ModuleList([nn.Module(), head]) if cascade else head
        self.auxiliary_head = nn.Module()
        self.auxiliary_head.loss_decode = MODELS.build(dict(type='CrossEntropyLoss'))


class Sampler:
    def __init__(self):
        self.updates = []
        self.class_prob = dict.fromkeys(CLASSES, 1 / 3)

    def expect_feedback(self):
        self.expecting = True

    def update(self, scores, num_samples):
        assert self.expecting
        self.updates.append((scores, num_samples))


def runner(model=None, sampler=None, classes=CLASSES):
    dataset = SimpleNamespace(metainfo=dict(classes=classes))
    loader = SimpleNamespace(dataset=dataset, sampler=sampler, batch_size=2)
    return SimpleNamespace(
        model=model or Model(),
        train_dataloader=loader,
        iter=0,
        train_loop=None,  # by iterations
        max_iters=1000,
        visualizer=Scalars(),
    )


def batch(seed, shape=(2, 3, 4, 5)):
    g = torch.Generator().manual_seed(seed)
    logits = torch.randn(shape, generator=g)
    label = torch.randint(0, shape[1], (shape[0], *shape[2:]), generator=g)
    label[torch.rand(label.shape, generator=g) < 0.2] = 255
    return logits, label


def brute_force(logits, label):
    label, pred = label.numpy().ravel(), logits.argmax(1).numpy().ravel()
    return np.array(
        [
            [
                np.sum(label == c),
                np.sum((label == c) & (pred == c)),
                np.sum((label != 255) & (pred == c)),
            ]
            for c in range(logits.shape[1])
        ],
        float,
    ).T


def steps(hook, run, batches):
    loss = run.model.decode_head.loss_decode
    for logits, label in batches:
        hook.before_train_iter(run, run.iter)
        loss(logits, label, ignore_index=255)
        hook.after_train_iter(run, run.iter)
        run.iter += 1


@pytest.mark.parametrize('count_interval', (1, 2))
def test_running_counts(count_interval):
    hook = ClassFeedbackHook(interval=3, momentum=0.25, count_interval=count_interval)
    fake = runner(sampler=Sampler())
    hook.before_train(fake)
    batches = [batch(seed) for seed in range(7)]
    steps(hook, fake, batches)
    expected, read = None, []
    for i, one in enumerate(batches):
        if i % count_interval == 0:
            counts = brute_force(*one)
            expected = counts if expected is None else expected + 0.25 * (counts - expected)
        if i % 3 == 2:
            n, tp, p = expected
            read.append(dict(IoU=tp / (n + p - tp), recall=tp / n))
    assert len(fake.train_dataloader.sampler.updates) == 2
    assert [used for _, used in fake.train_dataloader.sampler.updates] == [6, 12]
    for (got, _), want in zip(fake.train_dataloader.sampler.updates, read, strict=True):
        for name in ('IoU', 'recall'):
            np.testing.assert_allclose(got[name], want[name])
    assert list(fake.visualizer.written) == [3, 6]
    scalars = fake.visualizer.written[6]
    assert scalars['train/recall/b'] == pytest.approx(read[1]['recall'][1])
    assert scalars['train/iou/c'] == pytest.approx(read[1]['IoU'][2])
    assert scalars['train/class_prob/a'] == 1 / 3
    assert len(scalars) == 9


def test_absent_class_keeps_its_recall_and_unseen_ones_have_no_curve():
    hook = ClassFeedbackHook(interval=1, momentum=0.5, count_interval=1)
    fake = runner()
    hook.before_train(fake)
    logits = torch.eye(3)[[0, 1, 0, 0]].T[None, ..., None] * 9  # predicts 0, 1, 0, 0
    label = torch.tensor([[[0], [1], [1], [0]]])
    without_b = torch.where(label == 1, 255, label)
    steps(hook, fake, [(logits, label), (logits, without_b), (logits, without_b)])
    first, _, last = (fake.visualizer.written[step] for step in (1, 2, 3))
    assert first == {
        'train/recall/a': 1.0, 'train/recall/b': 0.5,
        'train/iou/a': 2 / 3, 'train/iou/b': 0.5,
    }  # fmt: skip
    assert last['train/recall/b'] == last['train/iou/b'] == 0.5
    assert last['train/iou/a'] > first['train/iou/a']


def test_curves_can_be_off():
    hook, fake = ClassFeedbackHook(interval=1, curves=False), runner(sampler=Sampler())
    hook.before_train(fake)
    steps(hook, fake, [batch(0)])
    assert not fake.visualizer.written and len(fake.train_dataloader.sampler.updates) == 1


def test_what_is_not_a_training_step_is_not_counted():
    fake = runner()
    hook, loss = ClassFeedbackHook(), fake.model.decode_head.loss_decode
    hook.before_train(fake)
    logits, label = batch(0)
    hook.before_train_iter(fake, 0)
    loss(*batch(1), ignore_index=255, reduction_override='none')  # OHEM looks for hard pixels
    loss(logits, label, ignore_index=255)
    loss.eval()
    loss(*batch(2), ignore_index=255)
    hook.after_train_iter(fake, 0)
    np.testing.assert_array_equal(hook._counts.numpy(), brute_force(logits, label))
    loss.train()
    hook.after_train(fake)
    loss(logits, label, ignore_index=255)
    assert hook._batch is None  # it no longer listens


def test_several_calls_in_a_step_add_up():
    hook, fake = ClassFeedbackHook(), runner()
    hook.before_train(fake)
    hook.before_train_iter(fake, 0)
    batches = [batch(0), batch(1)]
    for one in batches:
        fake.model.decode_head.loss_decode(*one, ignore_index=255)
    hook.after_train_iter(fake, 0)
    np.testing.assert_array_equal(hook._counts.numpy(), sum(brute_force(*one) for one in batches))


def test_where_it_listens():
    both = nn.ModuleList(MODELS.build(dict(type=t)) for t in ('RecallLoss', 'CrossEntropyLoss'))
    for model, module, path in (
        (Model(both), both[0], None),
        (Model(both), both[1], 'decode_head.loss_decode.1'),
        (Model(cascade=True), None, None),
        (Model(), None, 'auxiliary_head.loss_decode'),
    ):
        fake, hook = runner(model), ClassFeedbackHook(loss=path)
        hook.before_train(fake)
        if module is None:
            head = model.auxiliary_head if path else model.decode_head[-1]
            module = head.loss_decode
        hook.before_train_iter(fake, 0)
        module(*batch(0), ignore_index=255)
        assert hook._batch is not None
        hook.after_train(fake)


def test_compiled_loss_is_counted_alike():
    hook, fake = ClassFeedbackHook(count_interval=2), runner()
    hook.before_train(fake)
    loss = fake.model.decode_head.loss_decode
    compiled = torch.compile(lambda x, y: loss(x, y, ignore_index=255), backend='eager')
    expected = None
    for i in range(4):
        hook.before_train_iter(fake, i)
        compiled(*batch(i))
        hook.after_train_iter(fake, i)
        fake.iter += 1
        if i % 2 == 0:
            counts = brute_force(*batch(i))
            expected = counts if expected is None else expected + 0.02 * (counts - expected)
        np.testing.assert_allclose(hook._counts.numpy(), expected)


def test_counting_waits_for_nothing():
    hook, fake = ClassFeedbackHook(interval=100), runner()
    hook.before_train(fake)
    tensors = [tensor.to('meta') for tensor in batch(0)]
    with NoHostSync():
        for _ in range(3):
            hook.before_train_iter(fake, 0)
            hook._count(fake.model.decode_head.loss_decode, tensors, {}, None)
            hook.after_train_iter(fake, 0)
    assert hook._counts.device.type == 'meta'


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(interval=0), 'interval must be a number of iterations ≥ 1, got 0'),
        (dict(count_interval=0), 'count_interval must be iterations ≥ 1, got 0'),
        (dict(momentum=0), r'momentum must be in \(0, 1\], got 0'),
        (dict(momentum=1.5), 'got 1.5'),
    ],
)
def test_bad_arguments_are_named(kwargs, message):
    with pytest.raises(ValueError, match=message):
        ClassFeedbackHook(**kwargs)


def test_nothing_to_listen_at_is_named():
    with pytest.raises(ValueError, match="the model has no module 'neck.loss'"):
        ClassFeedbackHook(loss='neck.loss').before_train(runner())
    with pytest.raises(ValueError, match='no decode_head.loss_decode to listen at'):
        ClassFeedbackHook().before_train(runner(nn.Linear(2, 2)))
    hook, fake = ClassFeedbackHook(), runner()
    hook.before_train(fake)
    hook.before_train_iter(fake, 0)
    with pytest.raises(RuntimeError, match='heard nothing.*first loss of decode_head'):
        hook.after_train_iter(fake, 0)
    with pytest.raises(
        ValueError, match=r'logits \(N, 3, …\).*CrossEntropyLoss got \(2, 4, 4, 5\)'
    ):
        fake.model.decode_head.loss_decode(*batch(0, (2, 4, 4, 5)), ignore_index=255)


HEADS = {
    'FCNHead': dict(num_convs=1, kernel_size=1),
    'ASPPHead': dict(dilations=(1, 2)),
    'DepthwiseSeparableASPPHead': dict(c1_in_channels=0, c1_channels=0, dilations=(1, 2)),
    'PSPHead': dict(pool_scales=(1, 2)),
    'SegformerHead': dict(in_index=[0]),
    'UPerHead': dict(in_index=[0], pool_scales=(1, 2)),
}


@pytest.mark.elsewhere
@pytest.mark.parametrize('head', HEADS)
@pytest.mark.parametrize(
    'loss',
    [
        dict(type='CrossEntropyLoss'),
        dict(type='LossMaxPooling'),
        dict(type='RecallLoss'),
        dict(type='DiceLoss'),
        [dict(type='LovaszLoss', per_image=True), dict(type='CrossEntropyLoss')],
    ],
    ids=['ce', 'lmp', 'recall', 'dice', 'lovasz'],
)
def test_heads_and_losses_of_mmseg(head, loss):
    in_index = HEADS[head].get('in_index', 0)
    channels = [8] if isinstance(in_index, list) else 8
    built = MODELS.build(
        dict(
            type=head, in_channels=channels, channels=4, num_classes=3, loss_decode=loss,
            norm_cfg=dict(type='BN'), **HEADS[head],
        )
    )  # fmt: skip
    model = nn.Module()
    model.decode_head = built
    hook, fake = ClassFeedbackHook(), runner(model)
    hook.before_train(fake)
    g = torch.Generator().manual_seed(0)
    label = torch.randint(0, 3, (2, 1, 16, 16), generator=g)
    samples = [SegDataSample(gt_sem_seg=PixelData(data=one)) for one in label]
    hook.before_train_iter(fake, 0)
    losses = built.loss([torch.randn(2, 8, 8, 8, generator=g)], samples, dict())
    assert not any('feedback' in key or 'class' in key for key in losses)
    hook.after_train_iter(fake, 0)
    np.testing.assert_array_equal(
        hook._counts[0].numpy(), np.bincount(label.numpy().ravel(), minlength=3)
    )
    accuracy = 100 * hook._counts[1].sum() / label.numel()
    assert losses.get('acc_seg', losses.get('acc')).item() == pytest.approx(accuracy.item())


def test_head_with_one_channel_for_two_classes():
    head = MODELS.build(
        dict(
            type='FCNHead', in_channels=8, channels=4, num_convs=1, num_classes=2, out_channels=1,
            threshold=0.3, loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=True),
        )
    )  # fmt: skip
    model = nn.Module()
    model.decode_head = head
    hook, fake = ClassFeedbackHook(), runner(model, classes=('no', 'yes'))
    hook.before_train(fake)
    hook.before_train_iter(fake, 0)
    logits, label = torch.randn(2, 1, 5, 5), torch.randint(0, 2, (2, 5, 5))
    label[0, 0] = 255
    head.loss_decode(logits, label, ignore_index=255)
    hook.after_train_iter(fake, 0)
    limit = torch.full_like(logits, math.log(0.3 / 0.7))
    pred = torch.cat([limit, logits], 1)  # the same decision from two logits
    np.testing.assert_array_equal(hook._counts.numpy(), brute_force(pred, label))


@pytest.mark.parametrize(
    'loss', [dict(type=t) for t in ('CrossEntropyLoss', 'LossMaxPooling', 'RecallLoss')]
)
def test_training_is_the_same_with_and_without(tmp_path, loss):
    weights = []
    for hooks in ([], [dict(type='ClassFeedbackHook', interval=1)]):
        folder = tmp_path / str(len(hooks))
        cfg = tiny_config(folder, loss=loss, train_dataloader__sampler__class_prob='rare')
        cfg.custom_hooks = hooks
        run(cfg)
        weights.append(torch.load(folder / 'run/iter_4.pth', weights_only=False))
    for name, value in weights[0]['state_dict'].items():
        assert torch.equal(value, weights[1]['state_dict'][name]), name
    assert weights[0]['state_dict'].keys() == weights[1]['state_dict'].keys()
    assert 'class_feedback' in weights[1] and 'class_feedback' not in weights[0]


@pytest.mark.elsewhere
def test_curves_of_a_training(tmp_path):
    cfg = tiny_config(tmp_path)
    trained = run(cfg)
    vis_data = next((tmp_path / 'run').glob('*/vis_data'))
    lines = [json.loads(line) for line in (vis_data / 'scalars.json').read_text().splitlines()]
    curves = {line['step']: line for line in lines if 'train/recall/common' in line}
    assert list(curves) == [2, 4]
    for kind in ('recall', 'iou', 'class_prob'):
        assert 0 <= curves[4][f'train/{kind}/common'] <= 1
    last = trained.train_dataloader.sampler.class_prob
    assert curves[4]['train/class_prob/rare'] == last['rare'] != curves[2]['train/class_prob/rare']
    log = next((tmp_path / 'run').glob('*/*.log')).read_text()
    assert 'train/recall' not in log and 'recall/rare' not in log  # the terminal stays readable


def train_straight_and_resumed(folder, **options):
    """40 iterations at once, and 20 more from the checkpoint after 20, with the same options."""
    straight, resumed = folder / 'straight', folder / 'resumed'
    for part in (straight, resumed):
        # Strong feedback, just before the checkpoint: what is drawn by then is drawn without it.
        cfg = tiny_config(part, iters=40, interval=19, **options)
        cfg.train_dataloader.sampler.update(uniform_ratio=0.1, gamma=4, floor=0.0)
        cfg.custom_hooks.append(dict(type='IterSeedHook'))
        if part is resumed:
            cfg.load_from, cfg.resume = str(straight / 'run/iter_20.pth'), True
        run(cfg)


def ends(folder):
    """The last checkpoints of both."""
    return [
        torch.load(folder / part / 'run/iter_40.pth', weights_only=False)
        for part in ('straight', 'resumed')
    ]


RECALL = dict(type='RecallLoss', momentum=0.1)
# Upstream's runner replays past samples on resuming, and draws augmentation for them.
SKIPS = hasattr(InfiniteSampler, 'skip')


@pytest.mark.elsewhere
@pytest.mark.parametrize(
    'options',
    [
        # augmentation in worker processes has random generators that nobody can restore
        dict(workers=0, augment=SKIPS, loss=RECALL),
        dict(workers=2, augment=False, loss=RECALL),
    ],
    ids=['in-process', 'workers'],
)
def test_resumed_training_equals_an_uninterrupted_one(tmp_path, options):
    train_straight_and_resumed(tmp_path, **options)
    straight, resumed = ends(tmp_path)
    assert straight['meta']['iter'] == resumed['meta']['iter'] == 40
    same(straight, resumed)
    assert 'decode_head.loss_decode.running_counts' in straight['state_dict']

    # what was said after iteration 19 holds from the first batch that no worker had by then
    checkpoint = torch.load(tmp_path / 'straight/run/iter_20.pth', weights_only=False)
    since = [start for start, _ in checkpoint['class_feedback']['sampler']['schedule']]
    assert since == [0, 2 * (19 + 2 * options['workers'])]


@HOOKS.register_module(force=True)
class SaveAfterValHook(Hook):
    """Saves as CheckpointHook does when a validation is the best so far."""

    def after_val_epoch(self, runner, metrics=None):
        meta = dict(epoch=runner.epoch, iter=runner.iter)
        runner.save_checkpoint(runner.work_dir, f'val_{runner.iter}.pth', meta=meta, by_epoch=False)


@pytest.mark.elsewhere
def test_best_checkpoint_and_a_drawn_seed_resume_exactly(tmp_path):
    """Feedback every iteration, most of it pending; the seed is in the checkpoint alone."""
    for part in ('straight', 'resumed'):
        cfg = tiny_config(
            tmp_path / part, iters=12, interval=1, workers=2, augment=False, val=True,
            train_cfg__val_interval=6, randomness=dict(seed=None),
        )  # fmt: skip
        cfg.train_dataloader.sampler.update(uniform_ratio=0.1, gamma=4, floor=0.0)
        cfg.custom_hooks += [dict(type='IterSeedHook'), dict(type='SaveAfterValHook')]
        if part == 'resumed':
            cfg.load_from, cfg.resume = str(tmp_path / 'straight/run/val_6.pth'), True
        run(cfg)
    straight, resumed = (
        torch.load(tmp_path / part / 'run/iter_12.pth', weights_only=False)
        for part in ('straight', 'resumed')
    )
    same(straight, resumed)
    assert straight['class_feedback']['sampler']['seed'] == straight['meta']['seed']


def test_feedback_is_what_makes_the_resumed_training_equal(tmp_path):
    """Without the saved state the second half differs: the comparison above can fail."""
    straight = tmp_path / 'straight'
    cfg = tiny_config(straight, iters=40, interval=6)
    cfg.custom_hooks.append(dict(type='IterSeedHook'))
    run(cfg)
    checkpoint = torch.load(straight / 'run/iter_20.pth', weights_only=False)
    del checkpoint['class_feedback']
    torch.save(checkpoint, tmp_path / 'forgetful.pth')
    cfg = tiny_config(tmp_path / 'resumed', iters=40, interval=6)
    cfg.custom_hooks.append(dict(type='IterSeedHook'))
    cfg.load_from, cfg.resume = str(tmp_path / 'forgetful.pth'), True
    run(cfg)
    log = next((tmp_path / 'resumed/run').glob('*/*.log')).read_text()
    assert 'the checkpoint holds no class feedback' in log
    with pytest.raises(AssertionError):
        same(*ends(tmp_path))


def test_only_a_resumed_training_takes_the_saved_state(tmp_path):
    """Finetuning loads weights, not another training's feedback."""
    run(tiny_config(tmp_path / 'first'))
    cfg = tiny_config(tmp_path / 'second', train_cfg__max_iters=1)
    cfg.load_from = str(tmp_path / 'first/run/iter_4.pth')
    trained = run(cfg)
    assert set(trained.train_dataloader.sampler.class_prob.values()) == {1 / 3, 0}


def test_state_of_other_classes_is_refused(tmp_path):
    hook, fake = ClassFeedbackHook(), runner()
    fake.iter = 5
    hook.after_load_checkpoint(fake, dict(class_feedback=dict(counts=torch.zeros(3, 7))))
    with pytest.raises(ValueError, match='counts 7 classes, the data set has 3'):
        hook.before_train(fake)


def _train_of_rank(rank, folder):
    torch.set_num_threads(1)
    os.environ['LOCAL_RANK'] = str(rank)  # as torchrun sets it
    register_all_modules(init_default_scope=True)
    hook, fake = ClassFeedbackHook(interval=1), runner(sampler=Sampler())
    hook.before_train(fake)
    steps(hook, fake, [batch(rank)])
    torch.save((hook._counts, fake.train_dataloader.sampler.updates), folder / f'{rank}.pt')

    # without sync, the loss of each rank counts for itself, and the checkpoint knows rank 0's only
    loss = dict(RECALL, sync=True)
    train_straight_and_resumed(folder, loss=loss, augment=SKIPS, launcher='pytorch')


def test_two_processes(tmp_path):
    for part in ('straight', 'resumed'):
        tiny_config(tmp_path / part)  # writes the images
    on_two_ranks(_train_of_rank, tmp_path)
    both = [torch.load(tmp_path / f'{rank}.pt', weights_only=False) for rank in (0, 1)]
    union = brute_force(*batch(0)) + brute_force(*batch(1))
    for counts, updates in both:
        np.testing.assert_array_equal(counts.numpy(), union)
        np.testing.assert_array_equal(updates[0][0]['recall'], both[0][1][0][0]['recall'])
    straight, resumed = ends(tmp_path)
    same(straight, resumed)
    assert straight['class_feedback']['counts'][0].sum() > 3000  # 2 x 2 images of 32 x 32


def test_feedback_that_never_comes_is_named(tmp_path):
    cfg = tiny_config(tmp_path, iters=2, interval=3)
    run(cfg)
    log = next((tmp_path / 'run').rglob('*.log')).read_text()
    assert 'never reports to the sampler: its interval is 3 iterations, the training has 2' in log


def test_nobody_misses_feedback_that_changes_nothing(tmp_path):
    run(tiny_config(tmp_path, iters=2, interval=3, train_dataloader__sampler__class_prob='rare'))
    assert 'never reports' not in next((tmp_path / 'run').rglob('*.log')).read_text()
