"""Configs of all losses for any number of classes; hypothesis draws them, and batches."""

import math
from itertools import cycle, islice

import torch
from hypothesis import strategies as st
from mmseg.registry import MODELS

from mmseg_imbalance import losses

LMP, RECALL = dict(type='LossMaxPooling'), dict(type='RecallLoss')
TVERSKY, UNIFIED = dict(type='FocalTverskyLoss'), dict(type='UnifiedFocalLoss')
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def listed_losses(base: type = losses.PixelWeightingLoss) -> list[str]:
    """The losses of the package that a config can name: a new one needs no entry here."""
    named = {name: getattr(losses, name) for name in losses.__all__}
    return [
        name
        for name, found in named.items()
        if isinstance(found, type) and issubclass(found, base) and MODELS.get(name) is found
    ]


def loss_configs(num_classes: int = 5) -> list[dict]:
    """A config of each kind of loss of pixels.

    Noise would differ in every call, so that it is tested in tests/test_losses/test_blv_loss.py.
    """
    weights = list(islice(cycle([0.5, 1, 2, 3, 0.1]), num_classes))
    prior = list(islice(cycle([0.5, 0.3, 0.15, 0.049, 0.001]), num_classes))
    wce = dict(type='WeightedCrossEntropyLoss')
    adjusted = dict(type='LogitAdjustedLoss', prior=prior)
    written = [
        LMP,
        dict(LMP, p=1, ratio=0.3),
        dict(LMP, p=1.05),
        dict(LMP, p=math.inf),
        dict(LMP, pool='batch'),
        dict(LMP, pixel_loss=dict(type='SoftmaxFocalLoss', check_labels=False)),
        dict(LMP, pixel_loss=dict(adjusted, tau=0.25, check_labels=False)),
        RECALL,
        dict(RECALL, floor=0, normalizer='valid'),
        dict(RECALL, momentum=0.1),
        dict(type='SoftmaxFocalLoss'),
        wce,
        dict(wce, class_weight=weights),
        dict(wce, class_weight=weights, normalizer='valid'),
        adjusted,
        dict(type='BLVLoss', prior=prior, sigma=0),
    ]
    return _and_listed(written, losses.PixelWeightingLoss)


def region_configs(num_classes: int = 5) -> list[dict]:
    """A config of each kind of loss of regions."""
    written = [
        TVERSKY,
        dict(TVERSKY, gamma=1.5, classes='all', smooth=0),
        dict(TVERSKY, per_image=True),
        UNIFIED,
        dict(UNIFIED, rare=[num_classes - 1], gamma=0.2),
    ]
    return _and_listed(written, losses.RegionLoss)


def _and_listed(written: list[dict], base: type) -> list[dict]:
    types = {cfg['type'] for cfg in written}
    return written + [dict(type=name) for name in listed_losses(base) if name not in types]


def name(cfg: dict) -> str:
    """What to call a config in the list of tests."""
    return '-'.join(str(value) for value in cfg.values() if not isinstance(value, list))


def _class_values(num_classes: int, least: float) -> st.SearchStrategy:
    values = st.integers(0, 2**32 - 1).map(
        lambda seed: torch.rand(num_classes, generator=torch.Generator().manual_seed(seed))
    )
    return values.map(lambda v: (least + 3 * v.double()).tolist())


def _class_weights(num_classes: int) -> st.SearchStrategy:
    return st.none() | _class_values(num_classes, 0.1)


def max_pooling(num_classes: int, least_p: float = 1) -> st.SearchStrategy:
    """Loss max-pooling of cross-entropy."""
    norms = [p for p in (1, 1.02, 1.1, 1.3, 1.7, 2, 4, 50, math.inf) if p >= least_p]
    return st.fixed_dictionaries(
        dict(
            type=st.just('LossMaxPooling'),
            p=st.sampled_from(norms) | st.floats(max(least_p, 1.02), 20),
            ratio=st.sampled_from([0.001, 0.25, 1]) | st.floats(0.01, 1),
            pool=st.sampled_from(['image', 'batch']),
            class_weight=_class_weights(num_classes),
        )
    )


def recall(num_classes: int) -> st.SearchStrategy:
    """Recall loss."""
    return st.fixed_dictionaries(
        dict(
            type=st.just('RecallLoss'),
            floor=st.sampled_from([0, 1]) | st.floats(1e-3, 5),
            normalizer=st.sampled_from(['weight', 'valid', 'all']),
            momentum=st.sampled_from([None, 0.1, 1]),
            class_weight=_class_weights(num_classes),
        )
    )


def baselines(num_classes: int) -> st.SearchStrategy:
    """The other losses."""
    weighted = dict(
        type=st.just('WeightedCrossEntropyLoss'),
        class_weight=_class_weights(num_classes),
        normalizer=st.sampled_from(['weight', 'valid']),
    )
    adjusted = dict(
        type=st.just('LogitAdjustedLoss'),
        prior=_class_values(num_classes, 1e-3),
        tau=st.sampled_from([0, 1]) | st.floats(0, 3),
        class_weight=_class_weights(num_classes),
    )
    focal = dict(
        type=st.just('SoftmaxFocalLoss'),
        gamma=st.sampled_from([0, 0.5, 2]) | st.floats(0, 5),
        class_weight=_class_weights(num_classes),
    )
    return st.one_of(*(st.fixed_dictionaries(loss) for loss in (weighted, adjusted, focal)))


def any_loss(num_classes: int) -> st.SearchStrategy:
    """Any loss of the package."""
    return max_pooling(num_classes) | recall(num_classes) | baselines(num_classes)


@st.composite
def batches(draw, losses=any_loss, dtypes=DTYPES, most_classes=300, ties=False):
    """A loss's config, logits (N, C, H, W), labels (N, H, W) and their ``ignore_index``.

    With ties, pixels may have equal losses.
    """
    num_classes = draw(st.sampled_from([2, 3, 5, 19]) | st.integers(2, most_classes))
    images, height, width = (draw(st.integers(1, most)) for most in (3, 6, 6))
    ignore_index = draw(st.sampled_from([255, -1] if num_classes <= 255 else [-1, 300]))
    g = torch.Generator().manual_seed(draw(st.integers(0, 2**32 - 1)))
    logits = draw(st.sampled_from([0.1, 2, 30])) * torch.randn(
        (images, num_classes, height, width), generator=g, dtype=torch.float64
    )
    if ties and draw(st.booleans()):
        logits = logits.sign()
    label = torch.randint(0, num_classes, (images, height, width), generator=g)
    few = draw(st.integers(1, num_classes))  # crops show few of the classes
    label = label % few
    logits.scatter_add_(1, label[:, None], torch.full_like(logits[:, :1], draw(st.floats(-1, 4))))
    _ignore(draw, label, ignore_index, g)
    cfg = draw(losses(num_classes))
    return cfg, logits.to(draw(st.sampled_from(dtypes))), label, ignore_index


def _ignore(draw, label, ignore_index, g) -> None:
    images, height, width = label.shape
    pattern = draw(st.sampled_from(['none', 'random', 'block', 'image', 'all']))
    if pattern == 'random':
        share = draw(st.floats(0, 1))
        label[torch.rand(label.shape, generator=g) < share] = ignore_index
    elif pattern == 'block':
        label[:, : draw(st.integers(0, height)), : draw(st.integers(0, width))] = ignore_index
    elif pattern == 'image':
        label[draw(st.integers(0, images - 1))] = ignore_index
    elif pattern == 'all':
        label[:] = ignore_index
