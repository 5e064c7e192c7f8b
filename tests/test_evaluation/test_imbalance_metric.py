"""Scores against MMSegmentation and scikit-learn; runs, files and curves; two processes."""

import csv
import json
import os
import warnings

import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler
from mmengine.evaluator import Evaluator
from mmengine.logging import MessageHub, MMLogger
from mmengine.runner import Runner
from mmseg.evaluation import IoUMetric
from mmseg.registry import METRICS
from mmseg.utils import register_all_modules
from sklearn.metrics import confusion_matrix as sklearn_confusion
from sklearn.metrics import jaccard_score, precision_recall_fscore_support
from tiny_data import CLASSES
from tiny_run import run, tiny_config
from two_ranks import on_two_ranks

from mmseg_imbalance.evaluation import class_groups
from mmseg_imbalance.evaluation.confusion import confusion_matrix
from mmseg_imbalance.evaluation.imbalance_metric import ImbalanceMetric
from mmseg_imbalance.evaluation.scores import Scores
from mmseg_imbalance.statistics.class_statistics import ClassStatistics
from mmseg_imbalance.utils.cpu_launch import prepare_cpu_launch

IMAGES = {
    'usual': dict(num_classes=6),
    'absent': dict(num_classes=6, labelled=4, predicted=4),
    'only predicted': dict(num_classes=6, labelled=4),
    'never predicted': dict(num_classes=6, predicted=4),
    'two classes': dict(num_classes=2),
    'an ignored image': dict(num_classes=3, ignored_images=2),
}


def draw(num_classes, labelled=None, predicted=None, ignored_images=0, num_images=5):
    """Predictions and labels, (n, H, W) each; the first classes are labelled and predicted."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, labelled or num_classes, (num_images, 12, 9))
    guess = rng.integers(0, predicted or num_classes, label.shape)
    hit = (rng.random(label.shape) < 0.6) & (label < (predicted or num_classes))
    pred = np.where(hit, label, guess)
    label[rng.random(label.shape) < 0.1] = 255
    label[:ignored_images] = 255
    return pred, label


def samples(pred, label):
    return [
        dict(
            pred_sem_seg=dict(data=torch.from_numpy(p[None])),
            gt_sem_seg=dict(data=torch.from_numpy(t[None])),
            seg_map_path=f'{i}.png',
        )
        for i, (p, t) in enumerate(zip(pred, label, strict=True))
    ]


def names(num_classes):
    return tuple('abcdef'[:num_classes])


def evaluate(metric, pred, label, num_classes):
    evaluator = Evaluator(metric)
    evaluator.dataset_meta = dict(classes=names(num_classes))
    everything = samples(pred, label)
    for batch in (everything[:2], everything[2:]):
        evaluator.process(batch)
    return evaluator.evaluate(len(everything))


def statistics(path, share, classes):
    pixels = np.round(1000 * np.asarray(share, float)).astype(np.int64)[None]
    ClassStatistics(tuple(classes), ('a',), pixels, np.zeros(1, np.int64), 'x').save(path)
    return str(path)


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """Without the log file of a run there is no other folder to write to."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.elsewhere
@pytest.mark.parametrize('case', IMAGES)
def test_equals_the_metric_of_mmseg(case):
    pred, label = draw(**IMAGES[case])
    num_classes = IMAGES[case]['num_classes']
    got = evaluate(ImbalanceMetric(), pred, label, num_classes)
    reference = IoUMetric(iou_metrics=['mIoU', 'mDice', 'mFscore'])
    expected = evaluate(reference, pred, label, num_classes)
    for ours, theirs in dict(
        aAcc='aAcc', mIoU='mIoU', mAcc='mAcc', mPrecision='mPrecision', mF1='mDice'
    ).items():
        assert got[ours] == pytest.approx(expected[theirs], abs=0.0101), ours
    assert list(got) == ['aAcc', 'mIoU', 'mAcc', 'mPrecision', 'mF1']
    assert all(type(value) is float for value in got.values())

    areas = IoUMetric.intersect_and_union(
        torch.from_numpy(pred), torch.from_numpy(label), num_classes, 255
    )
    expected = IoUMetric.total_area_to_metrics(*areas, ['mIoU', 'mDice', 'mFscore'])
    scores = Scores(names(num_classes), confusion_matrix(pred, label, num_classes)).per_class
    for ours, theirs in dict(IoU='IoU', Acc='Acc', Precision='Precision', F1='Dice').items():
        np.testing.assert_allclose(scores[ours], 100 * expected[theirs], rtol=1e-6)


@pytest.mark.parametrize('case', IMAGES)
def test_equals_scikit_learn(case):
    pred, label = draw(**IMAGES[case])
    num_classes = IMAGES[case]['num_classes']
    valid = label != 255
    args = dict(labels=range(num_classes))
    confusion = confusion_matrix(pred, label, num_classes)
    scores = Scores(names(num_classes), confusion).per_class
    label, pred = label[valid], pred[valid]
    np.testing.assert_array_equal(confusion, sklearn_confusion(label, pred, **args))
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # undefined scores are 0 or NaN there, as told
        precision, recall, f1, _ = precision_recall_fscore_support(
            label, pred, **args, zero_division=np.nan
        )
        iou = jaccard_score(label, pred, **args, average=None, zero_division=0)
    iou[np.isnan(f1)] = np.nan
    expected = dict(IoU=iou, Acc=recall, Precision=precision, F1=f1)
    for name, values in expected.items():
        np.testing.assert_allclose(scores[name], 100 * values, err_msg=name)


def test_nothing_to_score_is_nan_and_silent():
    pred, label = draw(3)
    with warnings.catch_warnings():
        warnings.simplefilter('error', RuntimeWarning)
        got = evaluate(ImbalanceMetric(), pred, np.full_like(label, 255), 3)
    assert np.isnan(list(got.values())).all()


def test_other_ignored_label():
    pred, label = draw(3)
    label[label == 255] = 1
    got = evaluate(ImbalanceMetric(ignore_index=1), pred, label, 3)
    expected = evaluate(IoUMetric(ignore_index=1), pred, label, 3)
    assert got['aAcc'] == pytest.approx(expected['aAcc'], abs=0.0101)


def test_groups():
    share = np.array([0.02, 0.9, 0.05, 0.0199, 0.0, 0.03])
    groups = class_groups(share)
    assert groups == ('medium', 'head', 'head', 'tail', 'tail', 'medium')
    assert class_groups(share, head=0.03, tail=0.03) == (
        'tail', 'head', 'head', 'tail', 'tail', 'head',
    )  # fmt: skip
    with pytest.raises(ValueError, match='0 ≤ tail ≤ head ≤ 1, got head=0.01 and tail=0.02'):
        class_groups(share, head=0.01)
    with pytest.raises(ValueError, match='got head=5 and tail=2'):
        class_groups(share, head=5, tail=2)


def test_means_over_groups(tmp_path, caplog):
    share = [0.03, 0.5, 0.01, 0.01, 0.45, 0]
    path = statistics(tmp_path / 's.npz', share, 'abcdef')
    pred, label = draw(**IMAGES['absent'])
    log = tmp_path / 'run' / 'run.log'
    log.parent.mkdir()
    MMLogger.get_instance(f'run {tmp_path}', log_file=str(log))
    got = evaluate(ImbalanceMetric(statistics=path), pred, label, 6)
    per_class = Scores(names(6), confusion_matrix(pred, label, 6)).per_class
    for score, values in per_class.items():
        assert got[f'm{score}_head'] == pytest.approx(values[1], abs=0.00501)  # e is not there
        assert got[f'm{score}_medium'] == pytest.approx(values[0], abs=0.00501)
        assert got[f'm{score}_tail'] == pytest.approx(values[[2, 3]].mean(), abs=0.00501)
    text = log.read_text()
    assert 'head (≥ 5 %): b, e; medium: a; tail (< 2 %): c, d, f' in text
    table = [line.split('|')[1:5] for line in text.splitlines() if line.startswith('| ')]
    assert [[cell.strip() for cell in row] for row in table] == [
        ['class', 'group', 'training %', 'images %'],
        ['b', 'head', '50.00', '100.00'], ['e', 'head', '45.00', '100.00'],
        ['a', 'medium', '3.00', '100.00'], ['c', 'tail', '1.00', '100.00'],
        ['d', 'tail', '1.00', '100.00'], ['f', 'tail', '0.00', '0.00'],
    ]  # fmt: skip

    without_medium = evaluate(ImbalanceMetric(path, head=0.02), pred, label, 6)
    assert 'mIoU_medium' not in without_medium and 'mIoU_tail' in without_medium
    only_absent = evaluate(ImbalanceMetric(path, tail=0.001), pred, label, 6)
    assert np.isnan(only_absent['mIoU_tail'])


def test_files(tmp_path):
    path = statistics(tmp_path / 's.npz', [0.01, 0.9, 0.09], 'abc')
    pred, label = draw(3, labelled=2, predicted=2)
    metric = ImbalanceMetric(statistics=path, out_dir=str(tmp_path / 'out'), prefix='mine')
    got = evaluate(metric, pred, label, 3)
    folder = tmp_path / 'out/mine'
    assert {file.name for file in folder.iterdir()} == {
        'class_scores.csv', 'class_scores.json', 'confusion.png',
    }  # fmt: skip
    content = json.loads((folder / 'class_scores.json').read_text())
    assert {f'mine/{key}': value for key, value in content['means'].items()} == {
        key: None if np.isnan(value) else value for key, value in got.items()
    }
    order = [1, 2, 0]
    confusion = confusion_matrix(pred, label, 3)
    np.testing.assert_array_equal(content['confusion'], confusion[np.ix_(order, order)])
    assert [row['class'] for row in content['classes']] == ['b', 'c', 'a']
    assert content['classes'][1]['IoU'] is None

    rows = list(csv.DictReader((folder / 'class_scores.csv').read_text().splitlines()))
    for row, c, expected in zip(rows, order, content['classes'], strict=True):
        assert row == {key: '' if v is None else str(v) for key, v in expected.items()}
        assert int(row['pixels']) == (label == c).sum()
        assert int(row['predicted']) == ((label != 255) & (pred == c)).sum()
    assert (folder / 'confusion.png').read_bytes().startswith(b'\x89PNG')


def test_a_test_run_after_a_training_is_no_validation_of_it(tmp_path):
    hub = MessageHub.get_current_instance()
    hub.update_info('iter', 7)
    hub.update_info('loop_stage', 'test')
    evaluate(ImbalanceMetric(out_dir='out'), *draw(3), 3)
    assert len(list(tmp_path.glob('out/*.*'))) == 3 and not list(tmp_path.glob('out/iter*'))


def test_no_run_and_no_folder_write_nothing(tmp_path):
    evaluate(ImbalanceMetric(), *draw(3), 3)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_ends_nothing(tmp_path):
    (tmp_path / 'file').touch()
    log = tmp_path / 'run.log'
    MMLogger.get_instance(f'run {tmp_path}', log_file=str(log))
    got = evaluate(ImbalanceMetric(out_dir=str(tmp_path / 'file')), *draw(3), 3)
    assert got['mIoU'] > 0
    assert 'ImbalanceMetric wrote no files' in log.read_text()


def test_what_does_not_fit_is_named(tmp_path):
    with pytest.raises(ValueError, match='none.npz: there are no such class statistics'):
        ImbalanceMetric(statistics=str(tmp_path / 'none.npz'))
    path = statistics(tmp_path / 's.npz', [0.5, 0.5], 'ab')
    with pytest.raises(ValueError, match='0 ≤ tail ≤ head ≤ 1'):
        ImbalanceMetric(statistics=path, tail=0.5)
    metric = ImbalanceMetric(statistics=path)
    with pytest.raises(ValueError, match=r's.npz has statistics of the classes a, b, .* a, c;'):
        metric.dataset_meta = dict(classes=['a', 'c'])
    with pytest.raises(ValueError, match='the evaluated data set has no names of classes: give it'):
        metric.dataset_meta = {}
    metric.dataset_meta = dict(classes=['a', 'b'])
    with pytest.raises(ValueError, match='0.png: the label 7 is not one of the classes 0 … 1'):
        metric.process({}, samples(np.zeros((1, 2, 2), int), np.full((1, 2, 2), 7)))


@pytest.mark.parametrize('left', [1, 3])
def test_an_interrupted_evaluation_is_noticed_and_forgotten(left):
    pred, label = draw(3)
    metric = ImbalanceMetric()
    metric.dataset_meta = dict(classes=names(3))
    metric.process({}, samples(pred, label)[:left])
    with pytest.raises(RuntimeError, match=f'{5 + left} samples were evaluated on rank 0 of 1'):
        evaluate_again(metric, pred, label)
    assert evaluate_again(metric, pred, label)['mIoU'] > 0


def evaluate_again(metric, pred, label):
    metric.process({}, samples(pred, label))
    return metric.evaluate(len(pred))


def with_metrics(cfg, folder, **options):
    """The config evaluated by our metric, and with a prefix by MMSegmentation's."""
    path = statistics(folder / 's.npz', [0.5, 0.4, 0.1, 0], CLASSES)
    evaluator = [
        dict(type='ImbalanceMetric', statistics=path, head=0.45, tail=0.2, **options),
        dict(type='IoUMetric', iou_metrics=['mIoU', 'mDice'], prefix='mmseg'),
    ]
    cfg.val_evaluator = evaluator
    return cfg


@pytest.mark.elsewhere
def test_validations_of_a_training(tmp_path):
    register_all_modules(init_default_scope=True)
    assert METRICS.get('ImbalanceMetric') is ImbalanceMetric
    cfg = with_metrics(tiny_config(tmp_path, val=True, train_cfg__val_interval=2), tmp_path)
    cfg.default_hooks.checkpoint.save_best = 'mIoU_tail'
    run(cfg)
    assert list((tmp_path / 'run').glob('best_mIoU_tail_iter_*.pth'))
    (log,) = (tmp_path / 'run').glob('*/*.log')
    scalars = (log.parent / 'vis_data/scalars.json').read_text().splitlines()
    lines = [json.loads(line) for line in scalars]
    means = {line['step']: line for line in lines if 'mIoU_tail' in line}
    curves = {line['step']: line for line in lines if 'val/IoU/common' in line}
    assert list(means) == list(curves) == [2, 4]
    for step, mean in means.items():
        folder = log.parent / f'iter_{step}'
        assert len(list(folder.iterdir())) == 3
        content = json.loads((folder / 'class_scores.json').read_text())
        for name, value in content['means'].items():
            assert mean[name] == value or value is None and np.isnan(mean[name])
        assert np.sum(content['confusion']) == 9 * 32 * 32
        for name, same in dict(aAcc='aAcc', mIoU='mIoU', mAcc='mAcc', mF1='mDice').items():
            assert mean[name] == pytest.approx(mean[f'mmseg/{same}'], abs=0.0101)
        for row in content['classes']:
            for score in ('IoU', 'Acc', 'Precision', 'F1'):
                curve = curves[step].get(f'val/{score}/{row["class"]}')
                assert row[score] == (None if curve is None else pytest.approx(curve, abs=0.00501))
    text = log.read_text()
    assert 'mIoU_head: ' in text  # the line of means
    assert 'IoU/common' not in text  # the terminal stays readable


@pytest.mark.elsewhere
def test_test_run_with_augmentation(tmp_path):
    register_all_modules(init_default_scope=True)
    cfg = with_metrics(tiny_config(tmp_path, val=True), tmp_path, prefix='classes')
    cfg.test_dataloader = dict(cfg.val_dataloader, batch_size=1)
    cfg.test_dataloader.dataset = dict(cfg.test_dataloader.dataset, pipeline=cfg.tta_pipeline)
    cfg.test_evaluator, cfg.test_cfg = cfg.val_evaluator, dict(type='TestLoop')
    cfg.model = dict(cfg.tta_model, module=cfg.model)
    cfg.train_dataloader = cfg.train_cfg = cfg.optim_wrapper = None
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    cfg.param_scheduler, cfg.custom_hooks = None, []
    prepare_cpu_launch(cfg)
    runner = Runner.from_cfg(cfg)
    metrics = runner.test()
    assert metrics['classes/mIoU'] == pytest.approx(metrics['mmseg/mIoU'], abs=0.0101)
    folder = tmp_path / 'run' / runner.timestamp
    assert (folder / 'classes/class_scores.csv').is_file()
    assert not list(folder.glob('**/iter_*')) and not list(folder.glob('**/scalars.json'))


SIZES = ((5, True), (5, False), (4, True), (1, True))


def _evaluate_on_rank(rank, folder):
    os.chdir(folder)  # the ranks exchange files below it
    torch.set_num_threads(1)
    results = []
    for size, round_up in SIZES:
        everything = samples(*draw(4, num_images=size))
        for device in ('cpu', 'gpu'):
            metric = ImbalanceMetric(collect_device=device, out_dir=f'{folder}/{size}{round_up}')
            evaluator = Evaluator([metric, IoUMetric(prefix='mmseg')])
            evaluator.dataset_meta = dict(classes=names(4))
            sampler = DefaultSampler(range(size), shuffle=True, seed=3, round_up=round_up)
            for i in sampler:
                evaluator.process([everything[i]])
            results.append(evaluator.evaluate(size))
    torch.save(results, f'{folder}/{rank}.pt')


@pytest.mark.elsewhere
def test_two_processes_leave_out_repeated_samples(tmp_path):
    on_two_ranks(_evaluate_on_rank, tmp_path)
    first, second = (torch.load(tmp_path / f'{rank}.pt', weights_only=False) for rank in (0, 1))
    assert first == second
    for (size, round_up), got in zip(np.repeat(SIZES, 2, axis=0).tolist(), first, strict=True):
        pred, label = draw(4, num_images=size)
        expected = evaluate(ImbalanceMetric(), pred, label, 4)
        assert {key: got[key] for key in expected} == expected
        assert got['mIoU'] == pytest.approx(got['mmseg/mIoU'], abs=0.0101)
        content = (tmp_path / f'{size}{bool(round_up)}/class_scores.json').read_text()
        np.testing.assert_array_equal(
            json.loads(content)['confusion'], confusion_matrix(pred, label, 4)
        )


def test_classes_that_are_numbers(tmp_path):
    """MMSegmentation's IoUMetric takes them, too."""
    statistics = ClassStatistics(
        ('0', '1', '2'), ('a.png',), np.array([[1, 2, 3]]), np.array([0]), ''
    )
    statistics.save(tmp_path / 'counts.npz')
    metric = METRICS.build(
        dict(type='ImbalanceMetric', statistics=str(tmp_path / 'counts.npz'), out_dir=str(tmp_path))
    )
    metric.dataset_meta = dict(classes=(0, 1, 2))
    data = torch.tensor([[[0, 1], [1, 2]]])
    metric.process({}, [dict(pred_sem_seg=dict(data=data), gt_sem_seg=dict(data=data))])
    assert metric.evaluate(1)['mIoU'] == 100
    assert '\n0,' in (tmp_path / 'class_scores.csv').read_text().replace('\r', '')


def test_validation_without_labels():
    metric = ImbalanceMetric()
    metric.dataset_meta = dict(classes=CLASSES)
    sample = dict(pred_sem_seg=dict(data=torch.zeros(1, 2, 2)), img_path='a/b.png')
    with pytest.raises(ValueError, match="a/b.png has no label.*seg_map_path.*'LoadAnnotations'"):
        metric.process({}, [sample])
