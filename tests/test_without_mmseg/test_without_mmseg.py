"""The package where MMSegmentation is not installed; run by `make test-plain` in an environment
with PyTorch and NumPy alone, and what the examples need."""

import runpy
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.skipif(find_spec('mmseg') is not None, reason='make test-plain runs it')
DEMO = Path(__file__).resolve().parents[2] / 'demo/without_mmseg'


def example(name: str):
    """Runs an example and returns what its ``main`` does."""
    return runpy.run_path(str(DEMO / name))['main']()


def test_a_plain_loop_finds_the_rare_class():
    means = example('plain_pytorch.py')
    assert means['mIoU'] > 60 and means['mAcc'] > 80


def test_segformer_has_the_same_loss_upsampled_and_fused():
    usual, fused = example('segformer_hugging_face.py')
    assert usual == pytest.approx(fused, rel=1e-5)


def test_the_losses_of_monais_unet_fall():
    losses = example('monai_unet.py')
    assert losses[-1] < losses[0] / 2


def test_all_losses_are_modules_that_train():
    import torch

    from mmseg_imbalance import losses

    logits = torch.randn(2, 3, 8, 8, requires_grad=True)
    label = torch.randint(0, 3, (2, 8, 8))
    for name in ('LossMaxPooling', 'RecallLoss', 'SoftmaxFocalLoss', 'WeightedCrossEntropyLoss'):
        getattr(losses, name)()(logits, label).backward()
    focal = losses.LossMaxPooling(pixel_loss=dict(type='SoftmaxFocalLoss'))
    assert focal(logits, label).item() > 0
    with pytest.raises(KeyError, match=r"LovaszLoss is not one of .*pip install '\.\[onedl\]'"):
        losses.LossMaxPooling(pixel_loss=dict(type='LovaszLoss'))


def test_a_class_is_pasted_into_another_image():
    from mmseg_imbalance.sampling import paste_class

    image, label = np.zeros((16, 16, 3), np.uint8), np.zeros((16, 16), np.uint8)
    other, mask = image + 200, label.copy()
    mask[4:12, 4:12] = 1
    pasted, classes = paste_class(image, label, other, mask, 1, scale=(1, 1), max_shift=(0, 0))
    assert (classes == mask).all() and (pasted[..., 0] == 200 * mask).all()


def test_class_weights_by_name():
    from mmseg_imbalance.losses import WeightedCrossEntropyLoss
    from mmseg_imbalance.statistics import class_weights, count_label_maps

    statistics = count_label_maps([np.array([[0, 0, 0, 1]])], ['a', 'b'])
    loss = WeightedCrossEntropyLoss(class_weight='median_frequency')
    loss.use_statistics(statistics)
    assert class_weights(statistics, 'median_frequency') == pytest.approx([2 / 3, 2])
    assert loss.class_weight.tolist() == pytest.approx([2 / 3, 2])


def test_the_sampler_reads_a_file_and_asks_for_missing_statistics(tmp_path):
    from mmseg_imbalance.sampling import ClassBalancedInfiniteSampler
    from mmseg_imbalance.statistics import count_label_maps

    maps = [np.full((8, 8), i % 2) for i in range(4)]
    counted = count_label_maps(maps, ['a', 'b'])
    counted.save(tmp_path / 'counted.npz')
    sampler = ClassBalancedInfiniteSampler(maps, seed=0, statistics=str(tmp_path / 'counted.npz'))
    given = ClassBalancedInfiniteSampler(maps, seed=0, statistics=counted)
    for _, one, other in zip(range(50), sampler, given, strict=False):
        assert one == other
    with pytest.raises(ValueError, match='count_label_maps of mmseg_imbalance.statistics'):
        ClassBalancedInfiniteSampler(maps)
    with pytest.raises(ValueError, match=r'label map 0 is a tuple; pass the label maps alone'):
        count_label_maps([(maps[0], maps[0])], ['a', 'b'])


def test_class_offsets_of_any_network():
    import torch

    from mmseg_imbalance.calibration import HeldOutPixels, Objective, calibrate

    torch.manual_seed(0)
    pixels = HeldOutPixels([0.9, 0.1])
    for i in range(16):
        label = (torch.rand(1, 16, 16) < 0.1).long()
        logits = torch.randn(1, 2, 16, 16) + torch.stack([2.0 - label, label], 1)
        pixels.update(logits, label, half=i // 8)
    found = calibrate(pixels, Objective('recall', pixels.images > 0))
    assert found.kind != 'none' and found.checked[found.kind] > found.checked['none'] + 0.02


def test_what_needs_mmsegmentation_names_the_way_out():
    for room in ('datasets', 'hooks', 'weighting'):
        with pytest.raises(ImportError, match=rf'{room} needs MMSegmentation; install one'):
            __import__(f'mmseg_imbalance.{room}')


def modules_after(code: str) -> set[str]:
    """The top-level modules that are there after some code."""
    code += '; import sys; print(*{name.partition(".")[0] for name in sys.modules})'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_nothing_but_torch_and_numpy_is_imported():
    rooms = 'ops, losses, statistics, sampling, evaluation, calibration'
    found = modules_after(f'from mmseg_imbalance import {rooms}')
    optional = {'cv2', 'matplotlib', 'PIL', 'yaml', 'rich', 'mmengine', 'prettytable'}
    assert found & optional <= modules_after('import torch')
