"""The measured steps: this package's losses, cross-entropy, others' losses and the copy limit."""

import math
import warnings
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.models.losses import LovaszLoss
from mmseg.registry import MODELS
from mmseg.structures import OHEMPixelSampler, SegDataSample
from torch import Tensor

from mmseg_imbalance.hooks.fused_upsampling import fuse
from mmseg_imbalance.losses.loss_max_pooling import LossMaxPooling
from mmseg_imbalance.losses.lovasz_softmax_loss import LovaszSoftmaxLoss
from mmseg_imbalance.losses.recall_loss import RecallLoss
from mmseg_imbalance.losses.softmax_focal_loss import SoftmaxFocalLoss
from mmseg_imbalance.losses.unified_focal_loss import UnifiedFocalLoss
from mmseg_imbalance.losses.weighted_cross_entropy_loss import WeightedCrossEntropyLoss

from .measure import Contestant
from .sorting import sorted_max_pooling_loss

IGNORE_INDEX = 255
EAGER_CROSS_ENTROPY = 'cross-entropy'
COPY_LIMIT = 'copy limit'

cross_entropy = partial(F.cross_entropy, ignore_index=IGNORE_INDEX)


def loss_contestants(
    num_classes: int,
    device: torch.device | str = 'cpu',
    compile: bool = True,
    others: bool = True,
) -> list[Contestant]:
    """Returns steps that compute losses on logits of the labels' size.

    Args:
        num_classes: C.
        device: Device of the logits.
        compile: Whether to measure the losses also with ``torch.compile``.
        others: Whether to measure also losses of others.
    """
    waiting: dict[str, Callable] = {}
    losses: dict[str, Callable] = {EAGER_CROSS_ENTROPY: cross_entropy}
    if compile:
        losses['cross-entropy, compiled'] = torch.compile(cross_entropy)
    for suffix, options in [('', {}), (', compiled', dict(compile=True))][: 1 + compile]:
        losses['LMP' + suffix] = LossMaxPooling(**options)
        losses['recall loss' + suffix] = RecallLoss(**options)
        losses['focal' + suffix] = SoftmaxFocalLoss(**options)
        weights = [1 + c / num_classes for c in range(num_classes)]
        weighted = WeightedCrossEntropyLoss(weights, **options).to(device)
        losses['weighted cross-entropy' + suffix] = weighted
    best = compile and torch.device(device).type == 'cpu'  # on a GPU the kernels are faster
    for p in (1, 1.05, 1.3, 4, math.inf):
        losses[f'LMP, p = {p}' + ', compiled' * best] = LossMaxPooling(p=p, compile=best)
    losses['Lovász'] = LovaszSoftmaxLoss()
    losses['unified focal'] = UnifiedFocalLoss()
    if others:
        waiting['OHEM and cross-entropy (MMSegmentation)'] = _ohem
        waiting['Lovász (MMSegmentation)'] = _lovasz
        waiting['LMP by sorting'] = sorted_max_pooling_loss
    steps = [
        Contestant(name, partial(_step, loss), waits=name in waiting)
        for name, loss in (losses | waiting).items()
    ]
    return [Contestant(COPY_LIMIT, _three_passes), *steps]


def stage_contestants(num_classes: int) -> list[Contestant]:
    """Returns steps from low-resolution logits to their gradient, as in MMSegmentation and fused.

    A step does the same as ``BaseDecodeHead.loss_by_feat``: upsampling, loss and accuracy.

    Args:
        num_classes: C.
    """
    contestants = []
    for name, loss in (
        (EAGER_CROSS_ENTROPY, dict(type='CrossEntropyLoss')),
        ('LMP', dict(type='LossMaxPooling')),
        ('recall loss', dict(type='RecallLoss')),
    ):
        for suffix in ('as MMSegmentation does it', 'fused'):
            head = _head(loss, num_classes)
            if suffix == 'fused':
                fuse(head)
            step = partial(_stage_step, head)
            contestants.append(Contestant(f'{name}, {suffix}', step, waits=suffix != 'fused'))
    return contestants


def draw_label(shape: tuple[int, int, int], num_classes: int, device: torch.device) -> Tensor:
    """Draws random labels (N, H, W), 10 % of them ignored."""
    label = torch.randint(0, num_classes, shape, device=device)
    return label.masked_fill_(torch.rand(shape, device=device) < 0.1, IGNORE_INDEX)


def _step(loss: Callable, logits: Tensor, label: Tensor) -> None:
    loss(logits, label).backward()


def _three_passes(logits: Tensor, label: Tensor) -> None:
    """Does the minimum of a pixel loss: reads the logits twice and writes their gradient once."""
    logits.detach().amax()
    logits.detach().clone()


def _head(loss: dict, num_classes: int) -> torch.nn.Module:
    with warnings.catch_warnings():  # by default, ignored pixels count in the mean
        warnings.filterwarnings('ignore', 'Default ``avg_non_ignore`` is False')
        return MODELS.build(
            dict(
                type='mmseg.FCNHead', in_channels=num_classes, channels=num_classes, num_convs=0,
                concat_input=False, num_classes=num_classes, loss_decode=loss,
            )
        )  # fmt: skip


def _stage_step(head: torch.nn.Module, logits: Tensor, label: Tensor) -> None:
    samples = [SegDataSample(gt_sem_seg=PixelData(data=image[None])) for image in label]
    log = head.loss_by_feat(logits, samples)
    sum(value for key, value in log.items() if 'loss' in key).backward()


def _ohem(logits: Tensor, label: Tensor) -> Tensor:
    """OHEM with the settings of MMSegmentation's OHEM configs."""
    sampler = OHEMPixelSampler(SimpleNamespace(ignore_index=IGNORE_INDEX), thresh=0.7)
    weight = sampler.sample(logits, label[:, None])
    losses = cross_entropy(logits, label, reduction='none')
    return (weight * losses).mean()  # as in MMSegmentation's CrossEntropyLoss


def _lovasz(logits: Tensor, label: Tensor) -> Tensor:
    return LovaszLoss(reduction='none')(logits, label, ignore_index=IGNORE_INDEX)
