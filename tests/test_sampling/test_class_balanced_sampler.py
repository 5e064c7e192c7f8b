import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.dataset import ConcatDataset
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmseg.registry import DATA_SAMPLERS
from scipy.stats import chisquare
from tiny_data import CLASSES, tiny_dataset, write_label_maps
from torch.utils.data import Subset
from two_ranks import on_two_ranks

from mmseg_imbalance.datasets import class_statistics
from mmseg_imbalance.datasets.store import StaleStatisticsError
from mmseg_imbalance.sampling import class_balanced_sampler
from mmseg_imbalance.sampling.class_balanced_sampler import ClassBalancedInfiniteSampler
from mmseg_imbalance.sampling.drawn_index import DrawnIndex
from mmseg_imbalance.statistics import count_label_maps
from mmseg_imbalance.statistics.class_statistics import ClassStatistics

# pixels of 'middle' and 'rare' in every image; 'absent' has none
PIXELS = [[60, 0], [60, 0], [64, 40], [60, 3], [0, 0], [0, 0], [5, 0], [0, 33]]
HOLDERS = {0: [0, 1, 3, 4, 5, 6, 7], 1: [0, 1, 2, 3], 2: [2, 7]}  # at least 32 pixels


@pytest.fixture(scope='module')
def dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp('tiny')
    write_label_maps(root, PIXELS)
    return tiny_dataset(root)


def sampler(dataset, **kwargs):
    return ClassBalancedInfiniteSampler(dataset, **{'seed': 0, **kwargs})


def take(sampler, n):
    return list(itertools.islice(sampler, n))


def of_rank(dataset, rank, world_size, monkeypatch, **kwargs):
    target = 'mmseg_imbalance.sampling.class_balanced_sampler.get_dist_info'
    monkeypatch.setattr(target, lambda: (rank, world_size))
    return sampler(dataset, **kwargs)


def scores(*values):
    return dict(IoU=np.array(values), recall=np.sqrt(values))


@pytest.mark.elsewhere
def test_the_registry_builds_it_as_the_runner_does(dataset):
    built = DATA_SAMPLERS.build(
        dict(type='ClassBalancedInfiniteSampler'), default_args=dict(dataset=dataset, seed=0)
    )
    assert isinstance(built, ClassBalancedInfiniteSampler) and len(built) == 8
    assert take(built, 50) == take(sampler(dataset), 50)
    assert isinstance(sampler(dataset, seed=None).seed, int)


@pytest.mark.parametrize('class_prob', ('uniform', 'inverse', 'sqrt', 'rare'))
def test_frequencies_are_the_intended_ones(dataset, class_prob):
    draws = take(sampler(dataset, class_prob=class_prob, temperature=0.5), 30_000)
    by_class = [d for d in draws if isinstance(d, DrawnIndex)]
    assert len(by_class) == pytest.approx(15_000, abs=600)

    share = np.array([p for p in class_statistics(dataset).pixels.sum(0)[:3]], float)
    share /= share.sum()
    weight = {
        'uniform': np.ones(3),
        'inverse': 1 / share,
        'sqrt': share**-0.5,
        'rare': np.exp((1 - share) / 0.5),
    }[class_prob]
    expected = weight / weight.sum()
    count = np.bincount([d.drawn_class for d in by_class], minlength=3)
    assert chisquare(count, expected * len(by_class)).pvalue > 0.01

    image_probability = np.full(8, 0.5 / 8)
    for c, images in HOLDERS.items():
        image_probability[list(images)] += 0.5 * expected[c] / len(images)
    count = np.bincount(draws, minlength=8)
    # half of the draws are stratified, so their spread is smaller than a chi-square's
    assert chisquare(count, image_probability * len(draws)).pvalue > 0.01


@pytest.mark.parametrize(('min_pixels', 'images'), [(33, {2, 7}), (34, {2}), (1, {2, 3, 7})])
def test_images_hold_at_least_so_many_pixels(dataset, min_pixels, images):
    draws = take(sampler(dataset, uniform_ratio=0, min_pixels=min_pixels), 500)
    assert {int(d) for d in draws if d.drawn_class == 2} == images


def test_drawn_images_hold_their_class(dataset):
    draws = take(sampler(dataset, class_prob='uniform', uniform_ratio=0), 3000)
    for c, images in HOLDERS.items():
        assert {int(d) for d in draws if d.drawn_class == c} == set(images)


@pytest.mark.parametrize('world_size', (1, 2, 8))
def test_ranks_share_one_stream(dataset, monkeypatch, world_size):
    whole = take(sampler(dataset), 4096)
    slices = [
        take(of_rank(dataset, rank, world_size, monkeypatch), 4096 // world_size)
        for rank in range(world_size)
    ]
    assert list(itertools.chain(*zip(*slices, strict=True))) == whole
    classes = [[getattr(d, 'drawn_class', None) for d in part] for part in slices]
    assert list(itertools.chain(*zip(*classes, strict=True))) == [
        getattr(d, 'drawn_class', None) for d in whole
    ]


@pytest.mark.parametrize('world_size', (1, 3))
@pytest.mark.parametrize('skipped', (0, 1, 1000, 5000))
def test_skip_equals_replay(dataset, monkeypatch, skipped, world_size):
    replayed = of_rank(dataset, world_size - 1, world_size, monkeypatch)
    take(replayed, skipped)
    resumed = of_rank(dataset, world_size - 1, world_size, monkeypatch)
    resumed.skip(skipped)
    assert take(resumed, 2000) == take(replayed, 2000)


def test_skip_costs_nothing(dataset):
    far = sampler(dataset)
    far.skip(10**15)
    assert len(take(far, 10)) == 10
    with pytest.raises(ValueError, match='num_samples must be ≥ 0, got -1'):
        far.skip(-1)


def test_missing_class_is_named_once_and_left_out(dataset, monkeypatch):
    said = []
    target = 'mmseg_imbalance.sampling.class_balanced_sampler.warn'
    monkeypatch.setattr(target, said.append)
    picky = sampler(dataset, min_pixels=36, uniform_ratio=0, class_prob='uniform')
    draws = take(picky, 500)
    assert said == [
        'ClassBalancedInfiniteSampler leaves out absent: no image holds 36 pixels of it '
        '(min_pixels); 0.0% of all pixels are ignored'
    ]
    assert {d.drawn_class for d in draws} == {0, 1, 2}
    assert {int(d) for d in draws if d.drawn_class == 2} == {2}
    assert picky.class_prob == pytest.approx(dict(zip(CLASSES, [1 / 3] * 3 + [0], strict=True)))


def test_a_subset_hides_the_class(monkeypatch):
    said = []
    monkeypatch.setattr(class_balanced_sampler, 'warn', said.append)
    maps = [np.zeros((8, 8), int)] * 3
    subset = Subset(maps, [0, 2])
    ClassBalancedInfiniteSampler(subset, seed=0, statistics=count_label_maps(maps[:2], ['a', 'b']))
    assert 'torch.utils.data.Subset hides' in said[0]


def test_no_class_at_all(dataset):
    with pytest.raises(ValueError, match='for each class, no image holds 129 pixels'):
        sampler(dataset, min_pixels=129)
    draws = take(sampler(dataset, min_pixels=129, uniform_ratio=1), 16)
    assert sorted(draws) == sorted([*range(8)] * 2)


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(uniform_ratio=1.1), r'uniform_ratio must be in \[0, 1\], got 1.1'),
        (dict(class_prob='often'), "class_prob must be one of .*'performance'.*got 'often'"),
        (dict(temperature=0), 'temperature must be > 0, got 0'),
        (dict(score='mIoU'), "score must be 'IoU' or 'recall', got 'mIoU'"),
        (dict(gamma=-1), 'gamma must be ≥ 0, got -1'),
        (dict(floor=2), r'floor must be in \[0, 1\], got 2'),
        (dict(min_pixels=0), 'min_pixels must be ≥ 1, got 0'),
    ],
)
def test_bad_arguments_are_named(dataset, kwargs, message):
    with pytest.raises(ValueError, match=message):
        sampler(dataset, **kwargs)


def test_statistics_of_other_data_are_refused(dataset, tmp_path):
    write_label_maps(tmp_path, PIXELS[:3])
    file = tmp_path / 'statistics.npz'
    class_statistics(tiny_dataset(tmp_path), file)
    with pytest.raises(ValueError, match=str(file)):
        sampler(dataset, statistics=str(file))


def test_statistics_find_the_images_of_a_list(dataset, tmp_path):
    """They are sorted by path, a list of images is not."""
    root = Path(dataset.data_root)
    names = [Path(dataset[i]['img_path']).stem for i in range(len(PIXELS))]
    (tmp_path / 'list.txt').write_text('\n'.join(reversed(names)))
    listed = tiny_dataset(root, ann_file=str(tmp_path / 'list.txt'))
    counted = sampler(listed).expected_draws()
    assert not np.array_equal(counted, counted[::-1])
    given = sampler(listed, statistics=class_statistics(dataset)).expected_draws()
    np.testing.assert_array_equal(given, counted)


def test_given_statistics_are_those_of_the_file(dataset, tmp_path):
    write_label_maps(tmp_path, PIXELS[:3])
    repeated = ConcatDataset([dataset, *[tiny_dataset(tmp_path)] * 3])
    path = tmp_path / 'both.npz'
    expected = sampler(repeated, statistics=str(path), class_prob='inverse')
    found = sampler(repeated, statistics=ClassStatistics.load(path), class_prob='inverse')
    assert found.class_prob == expected.class_prob
    with pytest.raises(StaleStatisticsError, match='the given class statistics: counted from'):
        sampler(dataset, statistics=ClassStatistics.load(path))


def test_feedback_moves_towards_the_worse_class(dataset):
    adaptive = sampler(dataset, class_prob='performance', uniform_ratio=0)
    assert set(adaptive.class_prob.values()) == {1 / 3, 0}
    before = take(adaptive, 3000)
    adaptive.update(scores(0.95, 0.9, 0.1, 0.5), 3000)
    after = take(adaptive, 3000)
    share = [np.mean([d.drawn_class == 2 for d in draws]) for draws in (before, after)]
    assert share[0] == pytest.approx(1 / 3, abs=0.03)
    expected = 0.9 * 0.9 / 1.05 + 0.1 / 3
    assert share[1] == pytest.approx(expected, abs=0.03)
    assert adaptive.class_prob['rare'] == pytest.approx(expected)
    adaptive.update(scores(0.1, 0.9, 0.95, 0.5), 6000)
    assert np.mean([d.drawn_class == 2 for d in take(adaptive, 3000)]) < 0.1


def test_score_is_chosen(dataset):
    by_iou, by_recall = (
        sampler(dataset, class_prob='performance', score=s) for s in ('IoU', 'recall')
    )
    for one in (by_iou, by_recall):
        one.update(scores(0.81, 0.25, 0.25, 0), 0)
    assert by_iou.class_prob['common'] > by_recall.class_prob['common']


def test_frequency_sampling_takes_no_feedback(dataset):
    fixed, fed = sampler(dataset), sampler(dataset)
    fed.update(scores(0.95, 0.9, 0.1, 0.5), 0)
    assert take(fixed, 500) == take(fed, 500)


def test_missing_feedback_is_noticed(dataset, monkeypatch):
    said = []
    target = 'mmseg_imbalance.sampling.class_balanced_sampler.warn'
    monkeypatch.setattr(target, said.append)
    fed, updated, starved = (sampler(dataset, class_prob='performance') for _ in range(3))
    fixed = sampler(dataset, class_prob='rare')
    said.clear()
    fed.expect_feedback()
    updated.update(scores(0.95, 0.9, 0.1, 0.5), 0)
    for silent in (fed, updated, fixed):
        take(silent, 5000)
    assert not said
    take(starved, 5000)
    assert len(said) == 1 and 'ClassFeedbackHook' in said[0]


@pytest.mark.parametrize('world_size', (1, 2))
def test_resumed_feedback_goes_on_where_it_was(dataset, monkeypatch, world_size):
    """Feedback arrives while the loader holds batches that are drawn and not yet trained on."""
    arguments = dict(class_prob='performance', uniform_ratio=0.25, gamma=6, floor=0)
    straight, resumed = (
        of_rank(dataset, world_size - 1, world_size, monkeypatch, **arguments) for _ in range(2)
    )
    stream, ahead, batch, updates = [], 6, 10, {}
    for iteration in range(60):
        while len(stream) < (iteration + 1 + ahead) * batch:
            stream += take(straight, batch)
        if iteration % 7 == 6:
            updates[iteration] = scores(*np.random.default_rng(iteration).random(4))
            straight.update(updates[iteration], (iteration + 1) * batch)
        if iteration == 29:  # after an update whose draws are partly made
            state = straight.state_dict()

    resumed.load_state_dict(state)
    resumed.skip(30 * batch)
    again = []
    for iteration in range(30, 60):
        while len(again) < (iteration + 1 - 30 + ahead) * batch:
            again += take(resumed, batch)
        if iteration in updates:
            resumed.update(updates[iteration], (iteration + 1) * batch)
    assert again == stream[30 * batch :]
    assert [d.drawn_class for d in again if isinstance(d, DrawnIndex)] == [
        d.drawn_class for d in stream[30 * batch :] if isinstance(d, DrawnIndex)
    ]


def test_state_stays_small(dataset):
    adaptive = sampler(dataset, class_prob='performance')
    for i in range(50):
        take(adaptive, 10)
        adaptive.update(scores(0.5, 0.5, 0.5, 0.5), 10 * i - 15)  # the loader is 25 draws ahead
    since = [start for start, _ in adaptive.state_dict()['schedule']]
    assert since == [470, 480, 490, 500]  # used: 475


def test_stream_of_a_drawn_seed_is_resumed(dataset):
    """MMEngine draws a new seed for the sampler before it resumes."""
    for kwargs in (dict(class_prob='rare'), dict(class_prob='performance')):
        first, resumed = sampler(dataset, seed=1, **kwargs), sampler(dataset, seed=2, **kwargs)
        assert take(sampler(dataset, seed=2, **kwargs), 100) != take(first, 100)
        resumed.load_state_dict(first.state_dict())
        resumed.skip(100)
        assert take(resumed, 100) == take(first, 100)


def test_resumed_with_another_class_prob(dataset):
    adaptive, fixed = sampler(dataset, class_prob='performance'), sampler(dataset)
    adaptive.update(scores(0.9, 0.1, 0.9, 0), 0)
    for old, new in ((adaptive, 'rare'), (fixed, 'performance')):
        resumed = sampler(dataset, class_prob=new)
        resumed.load_state_dict(old.state_dict())
        assert resumed.class_prob == sampler(dataset, class_prob=new).class_prob


def test_feedback_after_resuming_on_fewer_ranks(dataset):
    """What was pending lies beyond the new position; it must not hide what comes."""
    state = sampler(dataset, class_prob='performance').state_dict()
    only = [np.eye(4)[c].tolist() for c in (0, 1)]
    state['schedule'] = [(0, only[0]), (16_000, only[0]), (16_050, only[1])]
    resumed = sampler(dataset, class_prob='performance', uniform_ratio=0, floor=0)
    resumed.load_state_dict(state)
    resumed.skip(2000)
    assert {d.drawn_class for d in take(resumed, 100)} == {0}
    for position in range(2100, 2500, 100):
        resumed.update(scores(1, 1, 0, 1), position)
        assert {d.drawn_class for d in take(resumed, 100)} == {2}


def test_state_of_other_data_is_refused(dataset):
    adaptive = sampler(dataset, class_prob='performance')
    state = adaptive.state_dict()
    with pytest.raises(ValueError, match=r"by the classes \['a'\], the data set has \['common'"):
        adaptive.load_state_dict(dict(state, classes=['a']))
    state['schedule'] = [(0, [0.25, 0.25, 0.25, 0.25])]
    with pytest.raises(ValueError, match='by classes that no image holds now'):
        adaptive.load_state_dict(state)


@pytest.mark.elsewhere
@pytest.mark.parametrize('workers', (0, 2))
def test_class_reaches_the_pipeline_through_a_loader(dataset, workers):
    init_default_scope('mmseg')
    loader = Runner.build_dataloader(
        dict(
            batch_size=4,
            num_workers=workers,
            multiprocessing_context='spawn' if workers else None,
            sampler=dict(type='ClassBalancedInfiniteSampler', uniform_ratio=0),
            collate_fn=dict(type='pseudo_collate'),
            dataset=dataset,
        ),
        seed=3,
    )
    expected = take(sampler(dataset, seed=3, uniform_ratio=0), 12)
    for batch, at in zip(loader, range(0, 12, 4), strict=False):
        assert [int(i) for i in batch['sample_idx']] == expected[at : at + 4]
        assert [i.drawn_class for i in batch['sample_idx']] == [
            d.drawn_class for d in expected[at : at + 4]
        ]


def _draw_in_process(rank, folder):
    built = ClassBalancedInfiniteSampler(tiny_dataset(folder / 'data'), class_prob='performance')
    draws = take(built, 100)
    built.update(scores(0.9, 0.9, 0.1, 0.5), 100)
    draws += take(built, 100)
    torch.save((built.seed, [int(d) for d in draws]), folder / f'{rank}.pt')


def test_two_processes_draw_one_stream(tmp_path):
    """Without a seed, and with statistics that are not there yet."""
    write_label_maps(tmp_path / 'data', PIXELS)
    on_two_ranks(_draw_in_process, tmp_path)
    (seed, first), (same_seed, second) = (torch.load(tmp_path / f'{rank}.pt') for rank in (0, 1))
    assert seed == same_seed
    one = sampler(tiny_dataset(tmp_path / 'data'), seed=seed, class_prob='performance')
    expected = take(one, 200)
    one.update(scores(0.9, 0.9, 0.1, 0.5), 200)
    expected += take(one, 200)
    assert [d for pair in zip(first, second, strict=True) for d in pair] == expected


@pytest.mark.parametrize('class_prob', ('uniform', 'sqrt', 'performance'))
@pytest.mark.parametrize('uniform_ratio', (0, 0.3, 1))
def test_expected_draws_are_those_that_come(dataset, class_prob, uniform_ratio):
    drawing = sampler(dataset, class_prob=class_prob, uniform_ratio=uniform_ratio)
    expected = drawing.expected_draws()
    assert expected.sum() == pytest.approx(1)
    found = np.bincount(take(drawing, 40_000), minlength=len(dataset)) / 40_000
    np.testing.assert_allclose(found, expected, atol=0.01)
    drawing.update(scores(0.9, 0.1, 0.1, 0.1), 0)
    np.testing.assert_array_equal(drawing.expected_draws(), expected)
