"""What is pasted from one image into another, and where."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmseg_imbalance.sampling import paste_class

SIZE = (24, 40)
FIXED = dict(scale=(1, 1), flip_prob=0, max_shift=(0, 0))


def scene(seed=0, size=SIZE, dtype=np.uint8):
    """A random image, and a label map of 0 with a ragged object of class 7 in it."""
    random = np.random.RandomState(seed)
    label = np.zeros(size, np.uint8)
    label[size[0] // 4 : size[0] // 2, size[1] // 5 : size[1] // 3] = 7
    label[size[0] // 2, size[1] // 5] = 7
    return random.randint(256, size=(*size, 3)).astype(dtype), label


def plain(size=SIZE, dtype=np.uint8):
    return np.full((*size, 3), 50, dtype), np.full(size, 2, np.uint8)


def paste(other, seed=0, whole=None, **options):
    return paste_class(
        *(whole or plain()),
        *other,
        7,
        **{**FIXED, 'random': np.random.RandomState(seed), **options},
    )


def box(mask):
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    return rows[0], rows[-1] + 1, columns[0], columns[-1] + 1


@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
def test_pixels_of_the_class_replace_those_at_their_place(dtype):
    whole, other = plain(dtype=dtype), scene(dtype=dtype)
    before = [array.copy() for array in (*whole, *other)]
    image, label = paste(other, whole=whole)
    mask = other[1] == 7
    np.testing.assert_array_equal(label, np.where(mask, 7, 2))
    np.testing.assert_array_equal(image, np.where(mask[..., None], other[0], 50))
    assert (image.dtype, label.dtype) == (dtype, np.uint8)
    for array, same in zip((*whole, *other), before, strict=True):
        np.testing.assert_array_equal(array, same)


def test_grey_images_have_no_channels():
    other = scene()[0][..., 0], scene()[1]
    image, _ = paste(other, whole=(plain()[0][..., 0], plain()[1]))
    np.testing.assert_array_equal(image, np.where(other[1] == 7, other[0], 50))


def test_without_the_class_nothing_is_pasted():
    image, label = paste((scene()[0], np.zeros(SIZE, np.uint8)))
    assert (image == 50).all() and (label == 2).all()


def test_mirrored_at_its_place():
    other = scene()
    image, label = paste(other, flip_prob=1)
    mask = other[1] == 7
    top, bottom, left, right = box(mask)
    assert box(label == 7) == (top, bottom, left, right)
    np.testing.assert_array_equal(label[:, left:right] == 7, mask[:, left:right][:, ::-1])
    shown = label == 7
    mirrored = other[0].copy()
    mirrored[:, left:right] = other[0][:, left:right][:, ::-1]
    np.testing.assert_array_equal(image[shown], mirrored[shown])


def test_half_of_them_are_mirrored():
    other = scene()
    mirrored = [
        not np.array_equal(paste(other, seed, flip_prob=0.5)[1] == 7, other[1] == 7)
        for seed in range(200)
    ]
    assert 70 < sum(mirrored) < 130


def test_shifts_cover_their_range_and_keep_the_shape():
    other, corners = scene(), []
    mask = other[1] == 7
    top, bottom, left, right = box(mask)
    for seed in range(300):
        _, label = paste(other, seed, max_shift=(0.125, 0.1))
        t, b, le, r = box(label == 7)
        np.testing.assert_array_equal(label[t:b, le:r] == 7, mask[top:bottom, left:right])
        corners.append((t - top, le - left))
    down, across = np.array(corners).T
    assert set(down) == set(range(-3, 4)) and set(across) == set(range(-4, 5))


@pytest.mark.parametrize('factor', [2, 3, 0.5])
def test_enlarged_about_its_centre(factor):
    image, label = np.full((48, 60, 3), 30, np.uint8), np.zeros((48, 60), np.uint8)
    label[20:28, 24:36] = 7
    pasted, classes = paste((image, label), whole=plain((48, 60)), scale=(factor, factor))
    assert (classes == 7).sum() == 8 * 12 * factor**2
    height, width = 8 * factor / 2, 12 * factor / 2
    expected = (24 - height, 24 + height, 30 - width, 30 + width)
    np.testing.assert_allclose(box(classes == 7), expected, atol=1 if factor < 1 else 0)
    assert (pasted[classes == 7] == 30).all() and (pasted[classes != 7] == 50).all()


def test_images_of_other_sizes_fit_by_their_height():
    image, label = paste(scene(size=(48, 120)))
    top, bottom, left, right = box(label == 7)
    # half as large, at the same shares of height and width
    assert (bottom - top, right - left) == (round(13 / 2), round(16 / 2))
    assert abs((top + bottom) / 48 - (12 + 25) / 96) < 0.03
    assert abs((left + right) / 80 - (24 + 40) / 240) < 0.03


def test_thin_objects_keep_their_area():
    counts = {}
    for scale in (0.4, 0.5, 0.75, 1.1):
        for distance in range(3, 33):
            label = np.zeros((20, 60), np.uint8)
            label[:, 10] = label[:, 10 + distance] = 7  # two poles of one pixel
            other = np.zeros((*label.shape, 3), np.uint8), label
            _, classes = paste(other, distance, plain((20, 60)), scale=(scale, scale))
            counts.setdefault(scale, []).append((classes == 7).sum() / (40 * scale**2))
    for scale, shares in counts.items():  # of the area, which a single pole need not keep
        assert 0.75 < np.mean(shares) < 1.25, scale


def test_what_lies_outside_is_cut_off():
    other = scene()
    for seed in range(100):
        image, label = paste(other, seed, scale=(0.5, 3), max_shift=(1, 1))
        assert image.shape == (*SIZE, 3)
        assert (image[label != 7] == 50).all()


def test_blending_fades_inwards_and_keeps_the_labels():
    other = np.full((*SIZE, 3), 250, np.uint8), np.zeros(SIZE, np.uint8)
    other[1][4:20, 10:30] = 7
    hard, soft = paste(other), paste(other, blend=2)
    np.testing.assert_array_equal(hard[1], soft[1])
    row = soft[0][12, :, 0].astype(int)
    assert (row[:10] == 50).all() and (row[12:28] == 250).all()
    # 3 and 4 of the 5 pixels around are of the object
    np.testing.assert_array_equal(row[10:12], [50 + 200 * 3 / 5, 50 + 200 * 4 / 5])


@pytest.mark.parametrize('blend', [1, 2, 4])
def test_blending_covers_the_middle_of_thin_objects(blend):
    other = np.full((*SIZE, 3), 250, np.uint8), np.zeros(SIZE, np.uint8)
    other[1][4:20, 10] = other[1][4:20, 14:17] = other[1][4:20, 20:36] = 7
    image, label = paste(other, blend=blend)
    assert (image[12, [10, 15]] >= 190).all() and (image[12, 28] == 250).all()
    assert (image[label != 7] == 50).all()


def test_the_draws_are_those_of_the_generator():
    options = dict(scale=(0.5, 2), flip_prob=0.5, max_shift=(0.2, 0.2))
    once, again, other = (paste(scene(), seed, **options)[1] for seed in (3, 3, 4))
    assert np.array_equal(once, again) and not np.array_equal(once, other)
    np.random.seed(3)
    np.testing.assert_array_equal(paste(scene(), random=np.random, **options)[1], once)


def test_an_image_without_its_label_map_is_refused():
    with pytest.raises(
        ValueError, match=r'shape \(24, 40, 3\) has a label map of shape \(24, 39\)'
    ):
        paste((scene()[0], scene()[1][:, 1:]))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(scale=(2, 1)), r'scale must be two numbers > 0, the smaller one first, got \(2, 1\)'),
        (dict(scale=(0, 1)), r'scale must be two numbers > 0, .* got \(0, 1\)'),
        (dict(scale=1.0), 'scale must be two numbers > 0, .* got 1.0'),
        (dict(flip_prob=-1), r'flip_prob must be in \[0, 1\], got -1'),
        (dict(max_shift=(-1, 0)), r'max_shift must be two shares ≥ 0, got \(-1, 0\)'),
        (dict(max_shift=0.1), 'max_shift must be two shares ≥ 0, got 0.1'),
        (dict(blend=-1), 'blend must be a whole number ≥ 0, got -1'),
        (dict(blend=1.5), 'blend must be a whole number ≥ 0, got 1.5'),
    ],
)
def test_arguments_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        paste(scene(), **options)


@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.integers(0, 2**31),
)
def test_any_sizes(size, other_size, seed):
    random = np.random.RandomState(seed)
    other = (
        random.randint(256, size=(*other_size, 3)).astype(np.uint8),
        random.choice([0, 7], other_size),
    )
    image, label = paste(
        other, seed, plain(size), scale=(0.1, 4), flip_prob=0.5, max_shift=(1, 1), blend=1
    )
    assert image.shape == (*size, 3) and image.dtype == np.uint8
    assert (image[label == 2] == 50).all() and set(np.unique(label)) <= {2, 7}
