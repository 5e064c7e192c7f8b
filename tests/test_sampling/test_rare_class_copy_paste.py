"""Copy-paste of rare classes, in MMSegmentation's MultiImageMixDataset."""

import numpy as np
import pytest
import torch
from mmengine.dataset import ConcatDataset, InfiniteSampler
from mmseg.datasets import MultiImageMixDataset
from mmseg.registry import TRANSFORMS
from tiny_data import tiny_dataset, write_label_maps
from tiny_run import run, tiny_config
from torch.utils.data import DataLoader

from mmseg_imbalance.datasets import class_statistics
from mmseg_imbalance.sampling import frequency_probability
from mmseg_imbalance.sampling.rare_class_copy_paste import RareClassCopyPaste

PIXELS = [[40, 0], [10, 0], [20, 4], [0, 0], [0, 9], [5, 1]]  # of classes 1 and 2
OPTIONS = dict(type='RareClassCopyPaste', prob=1.0, min_pixels=4)
IN_PLACE = dict(flip_prob=0, scale=(1, 1), max_shift=(0, 0))  # where nothing is cut off


@pytest.fixture(autouse=True)
def seeded():
    np.random.seed(0)


def mixed(folder, *later, **options):
    """The data set of PIXELS, with copy-paste and more transforms."""
    write_label_maps(folder, PIXELS)
    whole = ConcatDataset([tiny_dataset(folder)])  # the only built one that the wrapper accepts
    return MultiImageMixDataset(whole, [{**OPTIONS, **options}, *later])


def test_classes_are_drawn_by_frequency_and_images_among_those_that_show_them(tmp_path):
    dataset = mixed(tmp_path, class_prob='sqrt', max_pasted=2)
    transform = dataset.pipeline[0]
    draws = [transform.get_indices(dataset.dataset) for _ in range(4000)]
    assert np.mean([len(drawn) for drawn in draws]) == pytest.approx(1.5, abs=0.05)
    drawn = [index for part in draws for index in part]
    statistics = class_statistics(tiny_dataset(tmp_path))
    enough = np.array([True, True, True, False])
    expected = frequency_probability('sqrt', statistics.pixel_share, enough)
    classes = np.array([index.drawn_class for index in drawn])
    shares = np.bincount(classes, minlength=4) / len(drawn)
    np.testing.assert_allclose(shares, expected, atol=0.03)
    for cls, images in ((1, [0, 1, 2, 5]), (2, [2, 4])):  # one pixel in image 5 is too little
        of_class, counts = np.unique(np.array(drawn)[classes == cls], return_counts=True)
        assert of_class.tolist() == images
        assert counts.min() > 0.8 * counts.mean()


@pytest.mark.elsewhere
def test_the_drawn_class_is_pasted(tmp_path):
    dataset = mixed(tmp_path, temperature=1e-3, **IN_PLACE)
    for _ in range(20):
        sample = dataset[3]  # which shows class 0 alone
        pasted = sample['gt_seg_map'] == 2
        assert pasted.sum() in (4, 9, 13)  # of image 2, of image 4, of both
        colours = {tuple(colour) for colour in sample['img'][pasted].tolist()}
        assert colours <= {(120, 85, 2), (120, 170, 2)}
        assert (sample['img'][~pasted] == [0, 127, 0]).all()
    assert 'mix_results' not in sample


@pytest.mark.parametrize(('prob', 'least', 'most'), [(0.0, 0, 0), (0.3, 20, 45), (1.0, 100, 100)])
def test_only_some_images_are_changed(tmp_path, prob, least, most):
    dataset = mixed(tmp_path, prob=prob, temperature=1e-3, **IN_PLACE)
    changed = sum(bool((dataset[3]['gt_seg_map'] == 2).any()) for _ in range(100))
    assert least <= changed <= most


def test_workers_count_what_nobody_has_counted(tmp_path):
    dataset = mixed(tmp_path, dict(type='PackSegInputs'), temperature=1e-3, **IN_PLACE)
    loader = DataLoader(dataset, 2, sampler=[3] * 8, num_workers=2, collate_fn=list)
    batches = list(loader)
    assert len(batches) == 4
    assert all((s['data_samples'].gt_sem_seg.data == 2).any() for batch in batches for s in batch)
    assert list((tmp_path / 'class_statistics').glob('*.npz'))


def test_outside_of_a_mixed_data_set_it_says_where_it_belongs(tmp_path):
    write_label_maps(tmp_path, PIXELS)
    dataset = tiny_dataset(tmp_path, [OPTIONS])
    with pytest.raises(ValueError, match="put it into the pipeline of dict.type='MultiImageMix"):
        dataset[0]


def test_nothing_is_pasted_from_an_image_in_the_place_of_a_broken_one(tmp_path):
    dataset = mixed(tmp_path, temperature=1e-3)
    for number in (2, 4):  # all images with class 2
        (tmp_path / f'images/{number:05}.png').write_bytes(b'')
    dataset.dataset.datasets[0].pipeline.transforms[0].ignore_empty = True
    for _ in range(20):
        assert (dataset[3]['gt_seg_map'] == 0).all()


def test_no_class_to_paste(tmp_path):
    with pytest.raises(ValueError, match='no image holds 1000 pixels .min_pixels. of a class'):
        mixed(tmp_path, min_pixels=1000)[0]


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(prob=1.5), r'prob must be in \[0, 1\], got 1.5'),
        (dict(max_pasted=0), 'max_pasted must be ≥ 1, got 0'),
        (dict(min_pixels=0), 'min_pixels must be ≥ 1, got 0'),
        (dict(class_prob='performance'), "probability must be one of .*, got 'performance'"),
        (dict(scale=1.0), 'scale must be two numbers > 0, .* got 1.0'),
        (dict(temperature=0), 'temperature must be > 0, got 0'),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        RareClassCopyPaste(**options)


def test_the_pipeline_prints_it():
    text = repr(TRANSFORMS.build(dict(type='RareClassCopyPaste', blend=2)))
    assert text.startswith('RareClassCopyPaste(prob=0.5, max_pasted=3') and 'blend=2' in text


def with_copy_paste(folder, **options):
    """A tiny training with the class-balanced sampler and its crop, after copy-paste."""
    cfg = tiny_config(folder, iters=8, **options)
    cfg.custom_hooks += [dict(type='IterSeedHook')]
    inner = cfg.train_dataloader.dataset
    load, augment = inner.pipeline[:2], inner.pipeline[2:]
    cfg.train_dataloader.dataset = dict(
        type='MultiImageMixDataset',
        dataset=dict(inner, pipeline=load),
        pipeline=[OPTIONS, *augment],
    )
    return cfg


@pytest.mark.skipif(
    not hasattr(InfiniteSampler, 'skip'), reason='this stack loads past samples on resuming'
)
def test_a_resumed_training_pastes_the_same(tmp_path):
    straight = run(with_copy_paste(tmp_path / 'straight'))
    cfg = with_copy_paste(tmp_path / 'resumed')
    cfg.load_from, cfg.resume = str(tmp_path / 'straight/run/iter_4.pth'), True
    resumed = run(cfg)
    for name, value in straight.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name
