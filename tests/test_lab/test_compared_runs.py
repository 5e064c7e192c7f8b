"""Runs grouped into methods, their names, statistics, and what they are warned about."""

import json

import numpy as np
import pytest
from made_runs import made_run

from lab.study.compared_runs import NotComparableError, Spread, compare_runs

RNG = np.random.default_rng(0)
NAN = float('nan')


def made(method, seed, **kwargs):
    iou, acc = RNG.uniform(0, 100, (2, 4))
    iou[3] = acc[3] = NAN
    return made_run(method, seed, iou, acc, **kwargs)


def names(runs, **kwargs):
    """Names of the methods, with the seeds of their runs."""
    comparison = compare_runs(runs, **kwargs)
    return {method.name: [run.seed for run in method.runs] for method in comparison.methods}


def test_equal_settings_are_repetitions():
    runs = [made(method, seed) for seed in (0, 1) for method in ('lmp', 'ce', 'recall')]
    assert names([(None, run) for run in runs]) == {'lmp': [0, 1], 'ce': [0, 1], 'recall': [0, 1]}
    assert compare_runs([(None, run) for run in runs]).warnings == []


def test_names_tell_methods_apart():
    """The method's, else the config's, else the work dir's, else its whole path."""
    same = dict(settings={'lr': 1}, config='ce_net_data')
    other = dict(settings={'lr': 2}, config='ce_net_other')
    one, two = made('ce', 0, **same), made('ce', 1, **other)
    assert list(names([(None, one), (None, two)])) == ['ce_net_data', 'ce_net_other']
    two = made('ce', 1, **other | {'config': 'ce_net_data'})
    assert list(names([(None, one), (None, two)])) == ['ce-0', 'ce-1']
    two = made('ce', 1, **other | {'config': ''})
    assert list(names([(None, one), (None, two)])) == ['ce-0', 'ce-1']
    two = made('ce', 0, **other | {'config': '', 'work_dir': 'more/ce-0'})
    assert list(names([(None, one), (None, two)])) == ['runs/ce-0', 'more/ce-0']


def test_given_names_make_the_groups():
    one, two, three = made('ce', 0), made('ce', 1), made('lmp', 2)
    assert names([('a', one), ('b', two), ('a', three)]) == {'a': [0, 2], 'b': [1]}
    # one without a name is not put into a named method, and its own name is another
    assert names([('ce', one), (None, two)]) == {'ce': [0], 'ce_net_data': [1]}


def test_baseline():
    def baseline(*given, **kwargs):
        runs = [(name, made('x', seed)) for seed, name in enumerate(given)]
        return compare_runs(runs, **kwargs).baseline

    assert baseline('lmp', 'ce', 'ce-cbs') == 'ce'
    assert baseline('lmp', 'ce_net_data') == 'ce_net_data'
    assert baseline('lmp', 'Cross Entropy') == 'Cross Entropy'
    assert baseline('lmp', 'ce-cbs', 'cedar') == 'lmp'
    assert baseline('lmp', 'ce', baseline='lmp') == 'lmp'
    with pytest.raises(ValueError, match="no method 'LMP' to compare with: lmp, ce"):
        baseline('lmp', 'ce', baseline='LMP')


def test_spread():
    for values in ([3.0, 5.0, 10.0], [1.0, 2.0]):
        spread = Spread.of(values)
        assert spread == pytest.approx((np.mean(values), np.std(values, ddof=1), len(values)))
    assert Spread.of([3.0, NAN, 5.0]) == pytest.approx((4, np.sqrt(2), 2))
    assert Spread.of([7.0]) == pytest.approx((7, NAN, 1), nan_ok=True)
    assert Spread.of([NAN]) == pytest.approx((NAN, NAN, 0), nan_ok=True)


def test_spread_of_differences():
    """As that of many differences of two independent runs."""
    one, two = RNG.normal(10, 3, 200_000), RNG.normal(4, 2, 200_000)
    difference = Spread.of(one) - Spread.of(two)
    assert difference.mean == pytest.approx(np.mean(one - two))
    assert difference.std == pytest.approx(np.std(one - two), rel=0.01)
    assert np.isnan((Spread.of(one) - Spread.of([1.0])).std)


def test_statistics_of_methods():
    runs = [made(method, seed) for method in ('ce', 'lmp') for seed in range(3)]
    comparison = compare_runs([(None, run) for run in runs])
    lmp = comparison.others[0]
    scores = {
        kind: np.array([list(r.scores[kind].values()) for r in runs]) for kind in ('IoU', 'Acc')
    }
    for kind, values in scores.items():
        for c, name in enumerate(runs[0].classes[:3]):
            assert lmp.score(kind, name) == pytest.approx(
                (values[3:, c].mean(), values[3:, c].std(ddof=1), 3)
            )
            assert comparison.difference(lmp, kind, name).mean == pytest.approx(
                values[3:, c].mean() - values[:3, c].mean()
            )
    assert np.isnan(lmp.score('IoU', 'class 3').mean)
    assert lmp.mean('mIoU').mean == pytest.approx(np.nanmean(scores['IoU'][3:]))


@pytest.mark.parametrize(
    ('seeds', 'partners'),
    [([0, 1, 2], 3), ([2, 0], 2), ([0, 1, 2, 3], 3), ([1, 7], 0), ([0, 0, 1, 2], 0), ([None], 0)],
)
def test_runs_with_the_same_seed_are_compared(seeds, partners):
    base, own = [made('ce', seed) for seed in range(3)], [made('lmp', seed) for seed in seeds]
    comparison = compare_runs([(None, run) for run in (*base, *own)])
    ours, theirs = ([(run.seed, run.scores['IoU']['class 1']) for run in r] for r in (own, base))
    if partners:
        expected = Spread.of([a - b for i, a in ours for j, b in theirs if i == j])
        assert expected.runs == partners
    else:
        expected = Spread.of([a for _, a in ours]) - Spread.of([b for _, b in theirs])
    found = comparison.difference(comparison.others[0], 'IoU', 'class 1')
    assert found == pytest.approx(expected, nan_ok=True)


def test_means_that_all_runs_share():
    def run(seed, **means):
        return None, made('ce', seed, means={'aAcc': 1.0, 'mIoU_tail': 4.0} | means)

    both = compare_runs([run(0, mIoU=2.0, mAcc=3.0, mF1=5.0), run(1, mIoU=2.0, mAcc=3.0)])
    assert both.means == ['mIoU', 'mAcc', 'aAcc', 'mIoU_tail']


def test_classes_from_tail_to_head():
    pixels, share = [50, 10, 40, 0], [10.0, 60.0, 29.0, 1.0]
    unknown = made('ce', 0)
    counted = made('ce', 1, pixels=pixels)
    trained = made('ce', 2, pixels=pixels, share=share)
    plain = compare_runs([(None, unknown)])
    assert plain.share_of is None
    assert plain.shares() == dict.fromkeys([f'class {c}' for c in range(4)])
    some = compare_runs([(None, unknown), (None, counted)])
    assert some.share_of == 'evaluated pixels'
    assert list(some.shares().items()) == [
        ('class 3', 0), ('class 1', 10), ('class 2', 40), ('class 0', 50)
    ]  # fmt: skip
    best = compare_runs([(None, unknown), (None, counted), (None, trained)])
    assert best.share_of == 'training pixels'
    assert list(best.shares()) == ['class 3', 'class 0', 'class 2', 'class 1']


@pytest.mark.parametrize(
    'changes, difference',
    [
        (dict(classes=['class 0', 'class 1', 'class 2', 'bus']), 'class 3.*, among them bus'),
        (dict(data={'type': 'Other'}), r'\(TinyDataset\).*\(Other\)'),
        (dict(pixels=[5, 6, 7, 9]), r'\(8 pixels of class 3\).*\(9 pixels of class 3\)'),
        (dict(pixels=None, data={'type': 'TinyDataset', 'ann_file': 'x'}), 'ann_file x'),
    ],
)  # fmt: skip
def test_other_data_is_an_error_that_names_both(changes, difference):
    one = made('ce', 0, pixels=[5, 6, 7, 8])
    two = made('lmp', 1, **{'pixels': [5, 6, 7, 8]} | changes)
    with pytest.raises(NotComparableError, match=difference) as error:
        compare_runs([(None, one), (None, made('ce', 2)), (None, two)])
    assert 'runs/ce-0' in str(error.value) and 'runs/lmp-1' in str(error.value)


def test_equal_pixels_at_other_paths_are_the_same_data():
    data = {'type': 'TinyDataset', 'data_prefix.img_path': 'val'}
    one, two = (made('ce', seed, pixels=[5, 6, 7, 8]) for seed in (0, 1))
    moved = made('ce', 2, pixels=[5.0, 6.0, 7.0, 8.0], data=data)
    assert len(compare_runs([(None, one), (None, two), (None, moved)]).runs) == 3


def test_warnings():
    one, two, again = made('ce', 0), made('ce', 1), made('ce', 0, work_dir='again')
    (warning,) = compare_runs([(None, run) for run in (one, two, again)]).warnings
    assert warning.startswith('runs/ce-0 and again have the seed 0 and equal settings')
    unseeded = [(None, made('ce', None)) for _ in range(2)]
    assert compare_runs(unseeded).warnings == []
    changed = made('ce', 0, settings={'model.loss': 'ce', 'lr': 2, 'b': 1, 'c': 1, 'd': 1})
    (warning,) = compare_runs([('A', one), ('A', changed), ('B', again)]).warnings
    assert warning.endswith('are both A, but differ in 4 settings: b, c, d, …')


def test_json_holds_everything():
    runs = [made(m, s, pixels=[5, 6, 7, 0]) for m in ('ce', 'lmp') for s in (0, 1)]
    comparison = compare_runs([(None, run) for run in runs], left_out=[('x', 'it is gone')])
    text = comparison.to_json()
    content = json.loads(text, parse_constant=lambda name: pytest.fail(f'{name} is no JSON'))
    assert [row['class'] for row in content['classes']] == [f'class {c}' for c in (3, 0, 1, 2)]
    ce, lmp = content['methods']
    values = [run.scores['Acc']['class 1'] for run in runs]
    assert ce['scores']['Acc']['class 1']['mean'] == pytest.approx(np.mean(values[:2]))
    gains = np.subtract(values[2:], values[:2])
    difference = lmp['differences']['Acc']['class 1']
    assert difference['mean'] == pytest.approx(np.mean(gains))
    assert difference['std'] == pytest.approx(np.std(gains, ddof=1))
    assert lmp['scores']['IoU']['class 3'] == {'mean': None, 'std': None, 'runs': 0}
    assert lmp['means']['mIoU']['std'] == pytest.approx(
        np.std([run.means['mIoU'] for run in runs[2:]], ddof=1)
    )
