"""The same seed on the same machine: the same training, bit for bit."""

import os

import pytest
import torch
import torch.multiprocessing as mp
import torch.nn.functional as F
from batches import NUM_CLASSES, draw_batch
from checkpoint_files import same
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import revert_sync_batchnorm
from mmengine.structures import PixelData
from mmseg.registry import HOOKS, MODELS
from mmseg.structures import SegDataSample
from mmseg.utils import register_all_modules
from tiny_run import run, tiny_config
from tiny_statistics import make_statistics
from torch.utils._python_dispatch import TorchDispatchMode
from two_ranks import on_two_ranks

from mmseg_imbalance.losses.pixel_weighting_loss import PixelWeightingLoss
from mmseg_imbalance.utils.shipped import config_path
from mmseg_imbalance.weighting.record import WeightingRecorder, curves_of, weigh

SETTING = 'deeplabv3-r18-d8_1xb8-800_toy-streets-128x256.py'
METHODS = {
    'ce': 'cross_entropy',
    'lmp': 'loss_max_pooling',
    'recall': 'recall_loss',
    'wce': 'baselines',
    'focal': 'baselines',
    'balanced-softmax': 'baselines',
}
LOSSES = [
    dict(type='LossMaxPooling'),
    dict(type='LossMaxPooling', p=1),
    dict(type='RecallLoss', momentum=0.1),
    dict(type='LovaszSoftmaxLoss'),
    dict(type='FocalTverskyLoss'),
    dict(type='UnifiedFocalLoss', rare=[1]),
    dict(type='BoundaryWeightedLoss'),
    dict(type='BLVLoss', prior=[1, 2, 3, 4, 5]),
]


def shipped(method):
    return Config.fromfile(config_path(f'{METHODS[method]}/{method}_{SETTING}'))


@pytest.fixture(autouse=True)
def registered():
    register_all_modules(init_default_scope=True)


@pytest.fixture
def deterministic():
    """What MMEngine's ``randomness=dict(deterministic=True)`` sets, set back at the end."""
    benchmark = torch.backends.cudnn.benchmark
    yield
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.deterministic = False
    torch.backends.cudnn.benchmark = benchmark


class StandInGPU(TorchDispatchMode):
    """Takes 'meta' for a GPU with deterministic algorithms, and refuses what PyTorch refuses there.

    The list is that of torch.use_deterministic_algorithms, without interpolation: on a GPU
    PyTorch computes that in another way then, of which 'meta' has nothing.
    """

    BACKWARD = (
        'aten::avg_pool3d', 'aten::_adaptive_avg_pool', 'aten::adaptive_max_pool2d',
        'aten::fractional_max_pool', 'aten::reflection_pad', 'aten::grid_sampler',
        'aten::_ctc_loss',
    )  # fmt: skip
    ALWAYS = ('aten::max_unpool', 'aten::put_', 'aten::histc', 'aten::median.dim')

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = func.name()
        tensors = [a for a in args if isinstance(a, torch.Tensor)]
        if name == 'aten::_to_copy' and args[0].is_meta and kwargs.get('device') is not None:
            if kwargs['device'].type == 'cpu':
                return torch.zeros(args[0].shape, dtype=kwargs.get('dtype') or args[0].dtype)
        names = [argument.name for argument in func._schema.arguments]
        named = dict(zip(names, args, strict=False)) | kwargs
        if any(tensor.is_meta for tensor in tensors) and self._refused(name, named):
            raise AssertionError(f'{name} does not have a deterministic implementation')
        return func(*args, **kwargs)

    def _refused(self, name, arguments) -> bool:
        if name.startswith('aten::cumsum'):
            return arguments['self'].is_floating_point()
        if name.startswith('aten::bincount'):
            return arguments.get('weights') is not None
        if name.startswith('aten::nll_loss'):
            return arguments['reduction'] != 0  # 0: one loss per pixel
        if name.startswith('aten::scatter_reduce'):
            return arguments['reduce'] == 'prod'
        return name.startswith(self.ALWAYS) or (
            name.startswith(self.BACKWARD) and 'backward' in name
        )


@pytest.mark.parametrize(
    'refused',
    [
        lambda x: x.cumsum(1),
        lambda x: F.cross_entropy(x, x.new_zeros(2, 8, 8).long()),
        lambda x: F.adaptive_avg_pool2d(x, 2).sum().backward(),
        lambda x: F.grid_sample(x, x.new_zeros(2, 8, 8, 2), align_corners=False).sum().backward(),
        lambda x: x.new_zeros(3).long().bincount(x.new_zeros(3)),
        lambda x: x.detach().histc(),
        lambda x: x.median(1),
    ],
)
def test_the_stand_in_refuses(refused):
    x = torch.zeros(2, 4, 8, 8, device='meta', requires_grad=True)
    with pytest.raises(AssertionError, match='deterministic implementation'), StandInGPU():
        refused(x)


@pytest.mark.parametrize('method', METHODS)
def test_nothing_in_a_training_step_is_refused_on_a_gpu(method, monkeypatch, deterministic):
    torch.use_deterministic_algorithms(True)
    # the accuracy that heads log: on 'meta' nobody knows how many labels are valid
    monkeypatch.setattr(
        'mmseg.models.decode_heads.decode_head.accuracy', lambda *a, **k: a[0].sum()
    )
    cfg = shipped(method)
    statistics = make_statistics([range(1, cfg.model.decode_head.num_classes + 1)])
    size = (64, 64)
    with torch.device('meta'):
        model = revert_sync_batchnorm(MODELS.build(cfg.model)).train()
        image = torch.zeros(2, 3, *size)
        label = torch.zeros(1, *size, dtype=torch.int64)
    samples = [SegDataSample(gt_sem_seg=PixelData(data=label)) for _ in range(2)]
    for sample in samples:
        sample.set_metainfo(dict(img_shape=size, ori_shape=size))
    losses = [module for module in model.modules() if isinstance(module, PixelWeightingLoss)]
    for loss in losses:
        loss.use_statistics(statistics)
    recorders = [WeightingRecorder(loss) for loss in losses]
    for recorder in recorders:
        recorder.start()
    with StandInGPU():
        total, _ = model.parse_losses(model(image, samples, mode='loss'))
        total.backward()
        for recorder in recorders:
            curves = curves_of(recorder.loss, recorder.take())
            assert all(curve.is_meta for curve in curves.values())
    assert model.decode_head.conv_seg.weight.grad is not None
    assert bool(losses) == (method != 'ce')


@pytest.mark.parametrize('loss', LOSSES, ids=lambda loss: '-'.join(map(str, loss.values())))
def test_nothing_in_a_loss_is_refused_on_a_gpu(loss, deterministic):
    torch.use_deterministic_algorithms(True)
    logits, label = (tensor.to('meta') for tensor in draw_batch())
    built = MODELS.build(dict(loss, class_weight=[1.0] * NUM_CLASSES)).to('meta')
    of_pixels = isinstance(built, PixelWeightingLoss)
    with StandInGPU():
        weight = logits[:, 0].detach() if of_pixels else None
        built(logits.requires_grad_(), label, weight=weight).backward()
        if of_pixels:
            curves_of(built, weigh(built, logits.detach(), label, weight=weight))


@HOOKS.register_module(force=True)
class DeterministicHook(Hook):
    """Makes sure that the setting is in force in every step."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        assert torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize('method', METHODS)
def test_deterministic_training_on_a_cpu(method, tmp_path, deterministic):
    """With sampler, crop, metric and hooks; nothing in them is refused."""
    shipped_cfg = shipped(method)
    hooks = [dict(hook) for hook in shipped_cfg.custom_hooks]
    hooks += [dict(type='PixelWeightPictureHook')] * (method == 'lmp')
    for hook in hooks:
        if hook['type'] in ('ClassFeedbackHook', 'WeightingCurvesHook', 'PixelWeightPictureHook'):
            hook['interval'] = 1
    cfg = tiny_config(
        tmp_path, iters=2, loss=shipped_cfg.model.decode_head.loss_decode, val=method == 'lmp',
        train_cfg__val_interval=2, randomness=dict(seed=0, deterministic=True),
    )  # fmt: skip
    cfg.custom_hooks = [*hooks, dict(type='DeterministicHook')]
    runner = run(cfg)
    assert runner.iter == 2 and runner.deterministic


def everything(folder, seed, **options):
    """A training with all that draws random numbers: workers, sampler, crop, dropout."""
    cfg = tiny_config(folder, iters=8, workers=2, randomness=dict(seed=seed), **options)
    assert cfg.train_dataloader.sampler.class_prob == 'performance'
    cfg.model.decode_head.loss_decode = [
        dict(type='LossMaxPooling', loss_weight=0.5),
        dict(type='RecallLoss', momentum=0.1, sync=True, loss_weight=0.5),
    ]
    return cfg


def _train(rank, folder):
    torch.set_num_threads(1)
    run(everything(folder / str(rank), seed=3))


def _train_of_rank(rank, folder):
    os.environ['LOCAL_RANK'] = str(rank)  # as torchrun sets it
    run(everything(folder, seed=3, launcher='pytorch'))


def outcome(checkpoint):
    """What a training leaves, without times, paths and host names."""
    saved = torch.load(checkpoint, weights_only=False)
    scalars = saved['message_hub']['log_scalars']
    curves = {name: log.data for name, log in scalars.items() if 'time' not in name}
    kept = ('state_dict', 'ema_state_dict', 'optimizer', 'param_schedulers', 'class_feedback')
    return {key: saved[key] for key in kept if key in saved} | {'curves': curves}


@pytest.mark.slow
def test_two_trainings_in_processes_of_their_own_are_alike(tmp_path):
    mp.spawn(_train, (tmp_path,), nprocs=2)
    run(everything(tmp_path / '2', seed=4))
    first, again, other = (outcome(tmp_path / f'{i}/run/iter_8.pth') for i in range(3))
    assert 'decode_head.loss_decode.1.running_counts' in first['state_dict']
    assert len(first['class_feedback']['sampler']['schedule']) > 1
    assert len(first['curves']['train/loss'][0]) == 8
    for key in first:
        same(first[key], again[key], key)
        if key != 'param_schedulers':
            with pytest.raises(AssertionError):
                same(first[key], other[key], key)


@pytest.mark.slow
def test_two_runs_of_two_processes_train_alike(tmp_path):
    for part in ('first', 'again'):
        everything(tmp_path / part, seed=3)  # writes the images
        on_two_ranks(_train_of_rank, tmp_path / part)
    first, again = (outcome(tmp_path / part / 'run/iter_8.pth') for part in ('first', 'again'))
    for key in first:
        same(first[key], again[key], key)


def train_on_a_gpu(folder, **options):
    """Trains deterministically for 8 iterations, with all that holds tensors on the device."""
    cfg = everything(folder, 3, **options)
    cfg.randomness.deterministic = True
    cfg.custom_hooks += [
        dict(type='ConsistencyHook'),  # gives the running counts their size before EMAHook copies
        dict(type='WeightingCurvesHook', interval=1),
        dict(type='IterSeedHook'),
        dict(type='EMAHook'),
    ]
    run(cfg)
    return outcome(folder / 'run/iter_8.pth')


@pytest.mark.gpu
def test_deterministic_trainings_on_a_gpu_are_alike(tmp_path, deterministic, monkeypatch):
    monkeypatch.setenv('CUBLAS_WORKSPACE_CONFIG', ':4096:8')
    first, again = (train_on_a_gpu(tmp_path / part) for part in ('first', 'again'))
    for key in first:
        same(first[key], again[key], key)


@pytest.mark.gpu
def test_a_deterministic_training_on_a_gpu_goes_on_as_if_it_had_not_stopped(
    tmp_path, deterministic, monkeypatch
):
    monkeypatch.setenv('CUBLAS_WORKSPACE_CONFIG', ':4096:8')
    # workers draw anew after a resume
    options = dict(train_dataloader__num_workers=0, train_dataloader__persistent_workers=False)
    straight = train_on_a_gpu(tmp_path / 'straight', **options)
    half = str(tmp_path / 'straight/run/iter_4.pth')
    resumed = train_on_a_gpu(tmp_path / 'resumed', load_from=half, resume=True, **options)
    for key in straight:
        same(straight[key], resumed[key], key)
