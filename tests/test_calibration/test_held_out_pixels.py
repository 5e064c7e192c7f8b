"""What is collected of held-out images, against plain counting."""

import numpy as np
import pytest
import torch

from mmseg_imbalance.calibration import HeldOutPixels
from mmseg_imbalance.evaluation import confusion_matrix

SHARE, TAUS = np.array([0.9, 0.07, 0.03]), (-0.5, 0, 0.25, 0.5, 1, 2)


def batches():
    """Two halves of random logits, the frequent class ahead, and labels with ignored pixels."""
    random = torch.Generator().manual_seed(0)
    for half, size in ((0, (2, 12, 9)), (1, (1, 20, 7))):
        label = torch.multinomial(torch.tensor(SHARE), 2000, True, generator=random)
        label = label[: int(np.prod(size))].reshape(size)
        logits = (
            torch.randn(size[0], 3, *size[1:], generator=random)
            + torch.tensor(np.log(SHARE), dtype=torch.float32)[:, None, None]
        )
        logits.scatter_add_(1, label[:, None], torch.ones(size[0], 1, *size[1:]))
        label[:, :2] = 255
        yield logits, label, half


def collect(**kwargs):
    pixels = HeldOutPixels(SHARE, taus=TAUS, **kwargs)
    for batch in batches():
        pixels.update(*batch)
    return pixels


def test_confusions_are_those_of_each_tau():
    pixels = collect()
    for logits, label, half in batches():
        for t, tau in enumerate(TAUS):
            shifted = logits.double().numpy() - tau * np.log(SHARE)[:, None, None]
            expected = confusion_matrix(shifted.argmax(1), label.numpy(), 3)
            np.testing.assert_array_equal(pixels.confusions[half, t], expected)
    assert pixels.images.tolist() == [3, 3, 3]
    assert (np.diff(pixels.confusions, axis=1) != 0).any((2, 3)).all()


def test_a_sample_of_all_pixels_is_exact():
    pixels = collect(pixels=60_000)
    for half in (0, 1):
        for t, offsets in enumerate(pixels.tau_offsets):
            sample = pixels.sample(half)
            assert (sample.weight == 1).all()
            np.testing.assert_array_equal(sample.confusion(offsets), pixels.confusions[half, t])
    both = pixels.sample().confusion(np.zeros(3))  # the network as it is
    np.testing.assert_array_equal(both, pixels.confusions[:, TAUS.index(0)].sum(0))


def test_a_small_sample_is_bounded_seeded_and_stands_for_all_pixels():
    pixels = collect(pixels=24, seed=1)
    sample, total = pixels.sample(), pixels.confusions[:, 0].sum((0, 2))
    assert np.bincount(sample.label).max() <= 8
    np.testing.assert_allclose(np.bincount(sample.label, sample.weight), total)
    again, other = (
        collect(pixels=24, seed=1).sample(),
        collect(pixels=24).sample(),
    )
    assert (again.logits == sample.logits).all() and (other.logits != sample.logits).any()
    logits, _, _ = next(batches())
    rows = {tuple(row) for row in logits.movedim(1, -1).reshape(-1, 3).tolist()}
    assert {tuple(row) for row in pixels.sample(0).logits.tolist()} <= rows


def test_every_pixel_is_as_likely_to_be_kept():
    kept = np.zeros(40)
    for seed in range(300):
        pixels = HeldOutPixels([0.5, 0.5], pixels=40, taus=(0, 1), seed=seed)
        for image in torch.arange(40.0).reshape(4, 1, 1, 1, 10):
            pixels.update(torch.cat([image, -image], 1), torch.zeros(1, 1, 10).long(), 0)
        kept[pixels.sample().logits[:, 0].astype(int)] += 1
    assert kept.sum() == 300 * 10
    assert abs(kept - 75).max() < 4 * np.sqrt(75 * 0.75)


def test_labels_may_be_bytes():
    """As bytes, -100 would be 156."""
    shares = np.ones(160)
    logits, label = torch.randn(1, 160, 8, 8), torch.randint(150, 160, (1, 8, 8))
    found = []
    for dtype in (torch.int64, torch.uint8):
        pixels = HeldOutPixels(shares, taus=(0, 1), ignore_index=-100)
        pixels.update(logits, label.to(dtype), 0)
        found.append(pixels.confusions)
    np.testing.assert_array_equal(*found)
    assert found[0][0, 0].sum() == 64


@pytest.mark.parametrize(
    'logits, label, message',
    (
        (torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 2), r'must be \(N, 3, H, W\)'),
        (torch.zeros(1, 3, 2, 2), torch.zeros(1, 4, 4), r'got \(1, 3, 2, 2\) and \(1, 4, 4\)'),
        (torch.zeros(1, 3, 2, 2), torch.full((1, 2, 2), 3), r'labels \[3\] are not all classes'),
        (torch.full((1, 3, 2, 2), torch.nan), torch.zeros(1, 2, 2), 'a logit is not finite'),
    ),
)
def test_what_does_not_fit_is_refused(logits, label, message):
    with pytest.raises(ValueError, match=message):
        HeldOutPixels(SHARE).update(logits, label, 0)


def test_a_class_that_training_never_showed_gets_no_help():
    pixels = HeldOutPixels([90, 8, 2, 0], taus=TAUS)
    known = HeldOutPixels([90, 8, 2], taus=TAUS)
    np.testing.assert_array_equal(pixels.tau_offsets[:, :3], known.tau_offsets)
    assert (pixels.tau_offsets[:, 3:] <= pixels.tau_offsets[:, :3]).all()
    assert not pixels.tau_offsets[TAUS.index(0)].any()


def test_a_share_is_needed_and_taus_ascend():
    for shares in ([0.0, 0.0], [1.5, -0.5], [1, np.nan]):
        with pytest.raises(ValueError, match='shares must be ≥ 0, not all 0, got'):
            HeldOutPixels(shares)
    for taus in ((0,), (1, 2), (0, 1, 0.5)):
        with pytest.raises(ValueError, match='several ascending taus with 0'):
            HeldOutPixels(SHARE, taus=taus)
