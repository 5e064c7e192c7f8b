import numpy as np
import pytest
from mmcv.transforms import Compose
from mmcv.transforms.utils import cache_random_params
from mmseg.datasets.transforms import RandomCrop
from mmseg.registry import TRANSFORMS
from tiny_data import tiny_dataset, write_label_maps
from torch.utils.data import DataLoader

from mmseg_imbalance.datasets import class_statistics
from mmseg_imbalance.sampling.class_aware_random_crop import ClassAwareRandomCrop
from mmseg_imbalance.sampling.drawn_index import DrawnIndex

SIZE = (40, 60)


@pytest.fixture(autouse=True)
def seeded():
    np.random.seed(0)


def scene():
    """Class 0, with a few pixels of 1 and 2 in opposite corners and an ignored column."""
    label = np.zeros(SIZE, np.uint8)
    label[:3, :2] = 1
    label[-1, -1] = 2
    label[:, 30] = 255
    return label


def results(label, **kwargs):
    image = np.arange(label.size, dtype=np.int32).reshape(label.shape)[..., None].repeat(3, 2)
    return dict(img=image, gt_seg_map=label, seg_fields=['gt_seg_map'], **kwargs)


def crops(crop, label, n=200, **kwargs):
    return [crop(results(label.copy(), **kwargs)) for _ in range(n)]


def shares(crop, label, classes, n=300, **kwargs):
    seen = [out['gt_seg_map'] for out in crops(crop, label, n, **kwargs)]
    return [np.mean([(one == c).any() for one in seen]) for c in classes]


@pytest.mark.parametrize('crop_size', (8, (8, 12), (40, 60), (39, 1), (1, 1)))
@pytest.mark.parametrize('drawn_class', (1, 2))
def test_drawn_class_is_inside(crop_size, drawn_class):
    crop = ClassAwareRandomCrop(crop_size)
    for out in crops(crop, scene(), sample_idx=DrawnIndex(0, drawn_class)):
        assert (out['gt_seg_map'] == drawn_class).any()
        assert out['gt_seg_map'].shape == crop.crop_size == out['img_shape']
        # image and label are cut alike
        at = out['img'][..., 0]
        np.testing.assert_array_equal(scene().reshape(-1)[at], out['gt_seg_map'])


def test_windows_around_a_pixel_are_drawn_alike():
    label = np.zeros((9, 9), np.uint8)
    label[4, 4] = 1
    tops = [
        out['img'][0, 0, 0]
        for out in crops(ClassAwareRandomCrop(3), label, 4000, sample_idx=DrawnIndex(0, 1))
    ]
    places, count = np.unique(tops, return_counts=True)
    assert len(places) == 9 and count.min() > 4000 / 9 * 0.8


def test_every_pixel_of_the_class_can_be_chosen():
    label = np.zeros((4, 50), np.uint8)
    label[:, ::10] = 1
    seen = set()
    for out in crops(ClassAwareRandomCrop((1, 1)), label, sample_idx=DrawnIndex(0, 1)):
        seen.add(int(out['img'][0, 0, 0]))
    assert seen == set(np.flatnonzero(label).tolist())


def test_alone_all_classes_shown_are_alike():
    seen = shares(ClassAwareRandomCrop(5), scene(), (1, 2))
    assert seen == pytest.approx([1 / 3, 1 / 3], abs=0.08)
    plain = shares(RandomCrop(5), scene(), (1, 2))
    assert max(plain) < 0.05


def test_probabilities_are_given():
    crop = ClassAwareRandomCrop(5, class_prob=[0, 0.25, 0.75])
    assert shares(crop, scene(), (1, 2)) == pytest.approx([0.25, 0.75], abs=0.08)
    only_common = scene() * 0
    assert len(crops(crop, only_common, 5)) == 5  # nothing to choose: a plain crop


@pytest.mark.parametrize('mode', ('inverse', 'sqrt', 'rare'))
def test_probabilities_from_statistics(mode, tmp_path):
    write_label_maps(tmp_path / 'data', [[16, 2, 0]])
    file = tmp_path / 'statistics.npz'
    class_statistics(tiny_dataset(tmp_path / 'data'), file)
    crop = ClassAwareRandomCrop(5, class_prob=mode, statistics=str(file), temperature=0.2)
    share = np.array([110, 16, 2]) / 128
    weight = dict(inverse=1 / share, sqrt=share**-0.5, rare=np.exp((1 - share) / 0.2))[mode]
    expected = weight / weight.sum()
    assert shares(crop, scene(), (1, 2)) == pytest.approx(expected[1:], abs=0.08)


def test_travelling_class_comes_first():
    crop = ClassAwareRandomCrop(5, class_prob=[0, 1, 0])
    assert shares(crop, scene(), (1, 2), sample_idx=DrawnIndex(0, 2)) == [0, 1]
    # resizing may have lost it: then one of those shown
    assert shares(crop, scene(), (1, 2), sample_idx=DrawnIndex(0, 9)) == [1, 0]


@pytest.mark.parametrize('ratio', (1.0, 0.9, 0.5))  # the last is often missed in all tries
def test_without_a_class_it_is_the_plain_crop(ratio):
    options = dict(crop_size=(8, 9), cat_max_ratio=ratio)
    for label, prob in ((scene(), None), (np.full(SIZE, 255, np.uint8), 'uniform')):
        np.random.seed(5)
        ours = crops(ClassAwareRandomCrop(**options, class_prob=prob), label, 20, sample_idx=3)
        np.random.seed(5)
        theirs = crops(RandomCrop(**options), label, 20)
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a['img'], b['img'])


def test_smaller_images_are_kept_whole():
    label = scene()[:6, :7]
    for out in crops(ClassAwareRandomCrop((8, 5)), label, 20):
        assert out['gt_seg_map'].shape == (6, 5)
    for out in crops(ClassAwareRandomCrop(64), label, 5):
        np.testing.assert_array_equal(out['gt_seg_map'], label)


def test_one_class_only():
    label = np.full((10, 10), 3, np.uint8)
    assert all((out['gt_seg_map'] == 3).all() for out in crops(ClassAwareRandomCrop(4), label, 10))
    crop = ClassAwareRandomCrop(4, cat_max_ratio=0.5)  # cannot be kept: the last try is taken
    assert crops(crop, label, 3)[0]['gt_seg_map'].shape == (4, 4)


def test_cat_max_ratio_is_kept_where_it_can_be():
    label = np.zeros((20, 40), np.uint8)
    label[:, 20:] = 1
    label[0] = 255  # ignored pixels do not count

    def most(crop):
        parts = [out['gt_seg_map'] for out in crops(crop, label, 300)]
        valid = [part[part != 255] for part in parts]
        return np.array([np.bincount(v).max() / len(v) for v in valid])

    assert (most(ClassAwareRandomCrop((6, 10))) >= 0.95).mean() > 0.5
    assert (most(ClassAwareRandomCrop((6, 10), cat_max_ratio=0.95)) >= 0.95).mean() < 0.1


def test_same_seed_same_crop_and_cached_randomness():
    crop = ClassAwareRandomCrop(6)
    outs = []
    for _ in range(2):
        np.random.seed(11)
        outs.append([out['img'] for out in crops(crop, scene(), 10)])
    np.testing.assert_array_equal(*outs)
    with cache_random_params(crop):
        first, *others = (out['img'] for out in crops(crop, scene(), 10))
    assert all(np.array_equal(first, other) for other in others)


@pytest.mark.elsewhere
def test_in_a_pipeline(tmp_path):
    write_label_maps(tmp_path, [[1, 2, 0]])
    step = dict(type='ClassAwareRandomCrop', crop_size=(4, 4), cat_max_ratio=0.75)
    dataset = tiny_dataset(tmp_path, [step])
    for _ in range(20):
        assert (dataset[DrawnIndex(0, 2)]['gt_seg_map'] == 2).any()
    assert isinstance(TRANSFORMS.build(step), RandomCrop)
    assert "class_prob='uniform'" in repr(Compose([TRANSFORMS.build(step)]))


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(class_prob='performance'), 'class_prob must be one of .* a list or None'),
        (dict(class_prob='rare'), 'needs the frequencies.*class_statistics.py'),
        (dict(class_prob=[1, -1]), 'class_prob must be numbers ≥ 0'),
        (dict(class_prob=[1, float('nan')]), 'class_prob must be numbers ≥ 0'),
        (dict(class_prob='rare', statistics='none.npz'), 'none.npz'),
    ],
)
def test_bad_arguments_are_named(kwargs, message):
    with pytest.raises(ValueError, match=message):
        ClassAwareRandomCrop(4, **kwargs)


def test_too_few_probabilities_are_named():
    with pytest.raises(ValueError, match='holds class 2, but there are probabilities of 2 classes'):
        ClassAwareRandomCrop(4, class_prob=[1, 1])(results(scene()))


@pytest.mark.parametrize('class_prob', ['uniform', [0.2, 0.3, 0.5]], ids=str)
@pytest.mark.parametrize('dtype', [bool, np.int64, np.float64])
def test_labels_of_any_dtype_with_whole_numbers(dtype, class_prob):
    label = np.zeros(SIZE, dtype)
    label[3, 4] = 1
    crop = ClassAwareRandomCrop(8, class_prob=class_prob)
    for out in crops(crop, label, n=20, sample_idx=DrawnIndex(0, 1)):
        assert out['gt_seg_map'].dtype == dtype and out['gt_seg_map'].any()
    crops(crop, label, n=20)


@pytest.mark.parametrize('value', [0.5, np.nan, np.inf])
def test_labels_between_whole_numbers_are_refused(value):
    label = np.full(SIZE, value)
    with pytest.raises(ValueError, match='dtype float64 holds values that are not class ids'):
        ClassAwareRandomCrop(8)(results(label))


def test_classes_that_never_arrive_are_noticed_once(monkeypatch):
    said = []
    target = 'mmseg_imbalance.sampling.class_aware_random_crop.warn'
    monkeypatch.setattr(target, said.append)
    crop = ClassAwareRandomCrop(8)
    crops(crop, scene(), n=50, sample_idx=DrawnIndex(0, 1))
    crops(crop, scene(), n=50, sample_idx=DrawnIndex(0, 7))
    assert not said  # small objects may vanish when images are resized
    crops(crop, scene(), n=50, sample_idx=DrawnIndex(0, 7))
    (message,) = said
    assert '51 of 101 images do not show the class' in message and 'class 7' in message
    assert 'a transform after LoadAnnotations' in message


def test_of_several_workers_one_warns(tmp_path, monkeypatch):
    said = tmp_path / 'said'
    target = 'mmseg_imbalance.sampling.class_aware_random_crop.warn'
    monkeypatch.setattr(target, lambda message: said.open('a').write(f'{message}\n'))
    write_label_maps(tmp_path, [[1, 2, 0]])
    dataset = tiny_dataset(tmp_path, [dict(type='ClassAwareRandomCrop', crop_size=4)])
    draws = [DrawnIndex(0, 3)] * 40
    for _ in DataLoader(
        dataset, 2, sampler=draws, num_workers=2, collate_fn=list, multiprocessing_context='fork'
    ):
        pass
    assert len(said.read_text().splitlines()) == 1


def test_a_label_map_of_another_size_is_refused():
    sample = results(scene())
    sample['gt_seg_map'] = np.kron(sample['gt_seg_map'], np.ones((2, 2), np.uint8))
    with pytest.raises(ValueError, match='the image has 60 x 40 pixels, its label map 120 x 80'):
        ClassAwareRandomCrop(8)(sample)
