"""Work dirs of real, tiny trainings: finished, stopped, resumed, started anew, damaged."""

import json
import re
import shutil
import time

import numpy as np
import pytest
from made_runs import confusion_scores, scalars, train
from mmengine.config import Config
from tiny_data import CLASSES

from lab.study.compared_runs import compare_runs
from lab.study.log_table import last_validated_classes
from lab.study.run_log import Run, RunLogError, read_run
from lab.study.run_position import positions

EPOCHS = dict(
    train_cfg=dict(
        _delete_=True, type='EpochBasedTrainLoop', max_epochs=2, val_interval=1
    ),
    train_dataloader__sampler=dict(_delete_=True, type='DefaultSampler', shuffle=True),
    train_dataloader__drop_last=True,
    log_processor__by_epoch=True,
    default_hooks__logger__log_metric_by_epoch=True,
    default_hooks__checkpoint=dict(_delete_=True, type='CheckpointHook', interval=1),
)  # fmt: skip
IOU_METRIC = dict(_delete_=True, type='IoUMetric', iou_metrics=['mIoU', 'mFscore'])


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('runs')


@pytest.fixture(scope='module')
def finished(folder):
    return train(folder, 'finished', seed=3)


@pytest.fixture(scope='module')
def stopped(folder):
    return train(folder, 'stopped', stop=3)


@pytest.fixture
def copy(finished, tmp_path):
    """A copy of the finished run, to be damaged."""
    return shutil.copytree(finished, tmp_path / 'copy')


def next_second():
    time.sleep(1.05 - time.time() % 1)  # sessions are named after the second


def resumed(work_dir):
    next_second()
    return train(work_dir.parent, work_dir.name, resume=True)


def equal(one, two):
    return one.keys() == two.keys() and np.array_equal(
        list(one.values()), list(two.values()), equal_nan=True
    )


def test_a_finished_run(finished):
    run = read_run(finished)
    assert (run.config, run.seed, run.unit, run.length) == ('ce_tiny', 3, 'iteration', 4)
    assert run.work_dir == str(finished) and run.data['type'] == 'TinyDataset'
    assert run.details['lr'] == 5e-3 and run.details['batch'] == 2
    (file,) = finished.glob('*/iter_4/class_scores.json')
    iou, recall = confusion_scores(file)
    assert list(run.scores['IoU']) == list(CLASSES) == run.classes
    for name in CLASSES:
        assert run.scores['IoU'][name] == pytest.approx(iou[name], abs=0.005, nan_ok=True)
        assert run.scores['Acc'][name] == pytest.approx(recall[name], abs=0.005, nan_ok=True)
    assert np.isnan(run.scores['Acc']['absent']) and run.pixels['absent'] == 0
    assert sum(run.pixels.values()) == 9 * 32 * 32 and run.training_share is None
    # curves are the records, and the means those of the last
    records = scalars(finished)
    losses = {r['step']: r['loss'] for r in records if 'loss' in r}
    assert list(losses) == [1, 2, 3, 4]
    assert run.curves['loss'][0].tolist() == list(losses)
    assert run.curves['loss'][1].tolist() == list(losses.values())
    validations = [r for r in records if 'mIoU' in r]
    assert run.curves['mAcc'][0].tolist() == [2, 4]
    assert run.curves['mAcc'][1].tolist() == [r['mAcc'] for r in validations]
    assert set(run.means) == {'aAcc', 'mIoU', 'mAcc', 'mPrecision', 'mF1'}
    assert all(value == validations[-1][key] for key, value in run.means.items())


def test_iou_metric_is_read_from_the_log(folder, finished):
    """Equal seeds train equally, and both metrics score what they have in common alike."""
    work_dir = train(folder, 'iou', seed=3, val_evaluator=IOU_METRIC)
    ours, theirs = read_run(finished), read_run(work_dir)
    assert not list(work_dir.glob('*/*/class_scores.json'))
    for kind in ('IoU', 'Acc'):
        assert equal(theirs.scores[kind], ours.scores[kind])
    assert theirs.pixels is None and theirs.means['mFscore'] > 0
    for key in ('mIoU', 'mAcc', 'aAcc'):
        assert theirs.means[key] == pytest.approx(ours.means[key], abs=1e-4)  # float32
    assert theirs.settings == ours.settings


def test_imbalance_metric_with_files_elsewhere_is_read_from_the_log(copy, finished):
    shutil.rmtree(next(copy.glob('*/iter_4')))
    run = read_run(copy)
    assert equal(run.scores['Acc'], read_run(finished).scores['Acc'])
    assert run.pixels == read_run(finished).pixels


def test_training_by_epochs(folder):
    work_dir = train(folder, 'epochs', **EPOCHS)
    run = read_run(work_dir)
    assert (run.unit, run.length, run.details['length']) == ('epoch', 2, '2 epochs')
    assert run.curves['loss'][0].tolist() == list(range(1, 9))
    assert run.curves['mIoU'][0].tolist() == [1, 2]
    (file,) = work_dir.glob('*/iter_8/class_scores.json')
    assert run.scores['IoU']['rare'] == pytest.approx(confusion_scores(file)[0]['rare'], abs=0.005)
    # killed in the second epoch
    (log,) = work_dir.glob('*/vis_data/scalars.json')
    lines = log.read_text().splitlines(keepends=True)
    log.write_text(
        ''.join(line for line in lines if '"step": 8' not in line and 'mIoU' not in line)
    )
    with pytest.raises(RunLogError, match='trained to epoch 2, but logged no validation'):
        read_run(work_dir)
    log.write_text(''.join(line for line in lines if '"epoch": 2' not in line)[:-9])
    with pytest.raises(RunLogError, match='stopped at epoch 1 of 2; resume it'):
        read_run(work_dir)


@pytest.mark.parametrize('steps_by_epoch', [False, True])
@pytest.mark.parametrize('losses_by_epoch', [False, True])
def test_steps_of_validations_in_a_training_by_epochs(tmp_path, losses_by_epoch, steps_by_epoch):
    """Their steps are epochs or iterations; losses may be logged without an epoch."""
    options = EPOCHS | dict(
        train_cfg=EPOCHS['train_cfg'] | dict(max_epochs=3),
        log_processor__by_epoch=losses_by_epoch,
        default_hooks__logger__log_metric_by_epoch=steps_by_epoch,
        default_hooks__logger__interval=3,
    )
    work_dir = train(tmp_path, 'epochs', stop=7, **options)
    (logged,) = (r['step'] for r in scalars(work_dir) if 'mIoU' in r)
    assert logged == (1 if steps_by_epoch else 4)
    with pytest.raises(RunLogError, match='stopped at epoch 2 of 3; resume it'):
        read_run(work_dir)
    next_second()
    train(tmp_path, 'epochs', resume=True, **options)
    run = read_run(work_dir)
    assert run.curves['mIoU'][0].tolist() == [1, 2, 3]
    assert run.curves['loss'][0].tolist() == [3, 7, 11]
    (file,) = work_dir.glob('*/iter_12/class_scores.json')
    assert run.scores['IoU']['rare'] == pytest.approx(confusion_scores(file)[0]['rare'], abs=0.005)
    if losses_by_epoch:
        return
    for log in work_dir.glob('*/*.log'):
        log.unlink()
    with pytest.raises(RunLogError, match='logged without an epoch .* no .log with lines'):
        read_run(work_dir)


@pytest.mark.parametrize('steps_by_epoch', [False, True])
def test_steps_of_validations_in_a_training_by_iterations(tmp_path, steps_by_epoch):
    """Their steps are iterations, or epochs, which are not counted: 0 all the time."""
    options = dict(
        iters=7,
        train_cfg__val_interval=3,
        default_hooks__checkpoint__interval=4,
        default_hooks__logger__interval=2,
        default_hooks__logger__log_metric_by_epoch=steps_by_epoch,
    )
    work_dir = train(tmp_path, 'run', stop=5, **options)
    (logged,) = (r['step'] for r in scalars(work_dir) if 'mIoU' in r)
    assert logged == (0 if steps_by_epoch else 3)
    with pytest.raises(RunLogError, match='stopped at iteration 4 of 7'):
        read_run(work_dir)
    next_second()
    train(tmp_path, 'run', resume=True, **options)
    run = read_run(work_dir)
    assert run.curves['loss'][0].tolist() == [2, 4, 6]
    assert run.curves['mIoU'][0].tolist() == [3, 6, 7]
    (file,) = work_dir.glob('*/iter_7/class_scores.json')
    assert run.scores['IoU']['rare'] == pytest.approx(confusion_scores(file)[0]['rare'], abs=0.005)


def test_validations_that_no_loss_is_logged_between():
    """As the loop makes them, also from where a training was resumed."""
    config = Config(
        dict(
            train_cfg=dict(
                max_iters=100, val_begin=20, val_interval=10, dynamic_intervals=[(50, 5), (70, 40)]
            )
        )
    )
    intervals = [10] * 49 + [5] * 20 + [40] * 31  # after iteration 1, 2, …
    due = [i for i in range(20, 101) if i % intervals[i - 1] == 0 or i == 100]
    assert len(due) == 9
    validation = {'mIoU': 1.0, 'step': 0}
    assert positions([validation] * len(due), config, '') == due
    resumed = 'mmengine - INFO - resumed epoch: 0, iter: 40\n'
    assert positions([validation] * (len(due) - 3), config, resumed) == due[3:]
    loss = {'loss': 1.0, 'step': 30}
    assert positions([loss, validation, loss | {'step': 57}, validation], config, '') == [
        30, 30, 57, 60
    ]  # fmt: skip


def test_resumed_training_by_epochs(folder):
    work_dir = train(folder, 'resumed epochs', stop=6, **EPOCHS)
    with pytest.raises(RunLogError, match='trained to epoch 2, but last validated at 1'):
        read_run(work_dir)
    next_second()
    train(folder, 'resumed epochs', resume=True, **EPOCHS)
    run = read_run(work_dir)
    assert run.curves['loss'][0].tolist() == list(range(1, 9))
    assert run.curves['mIoU'][0].tolist() == [1, 2]


def test_stopped_run_says_how_far_it_got(stopped):
    command = f'tools/train.py {stopped}/ce_tiny.py --work-dir {stopped} --resume'
    with pytest.raises(RunLogError) as error:
        read_run(stopped)
    assert str(error.value) == f'stopped at iteration 3 of 4; resume it with {command}'


def test_resumed_run(stopped, tmp_path):
    """What was logged after the checkpoint it goes on from, at iteration 2, is replaced."""
    work_dir = shutil.copytree(stopped, tmp_path / 'stopped')
    shutil.copytree(stopped.parent / 'data', tmp_path / 'data')
    (log,) = work_dir.glob('*/vis_data/scalars.json')
    marked = log.read_text().replace('"loss": ', '"loss": 100')  # 1.4 becomes 1001.4
    log.write_text(marked + '{"loss": 9')
    resumed(work_dir)
    run = read_run(work_dir)
    assert run.curves['loss'][0].tolist() == [1, 2, 3, 4]
    assert (run.curves['loss'][1] > 1000).tolist() == [True, True, False, False]
    assert run.curves['mIoU'][0].tolist() == [2, 4]
    (file,) = work_dir.glob('*/iter_4/class_scores.json')
    assert run.scores['IoU']['common'] == pytest.approx(
        confusion_scores(file)[0]['common'], abs=0.005
    )
    # it has the settings of a run that was never stopped
    straight = read_run(train(tmp_path, 'straight'))
    assert run.settings == straight.settings
    with log.with_name('config.py').open('a') as file:
        file.write("\nload_from = 'start.pth'\n")
    assert read_run(work_dir).settings == straight.settings | {'load_from': 'start.pth'}


def test_resumed_and_stopped_earlier_than_before(stopped, tmp_path):
    """What was logged before beyond the point where it is now is no progress."""
    work_dir = shutil.copytree(stopped, tmp_path / 'stopped')
    shutil.copytree(stopped.parent / 'data', tmp_path / 'data')
    (log,) = work_dir.glob('*/vis_data/scalars.json')
    with log.open('a') as file:
        file.write('{"loss": 1.0, "step": 4}\n{"mIoU": 30.0, "step": 4}\n')
    next_second()
    train(tmp_path, 'stopped', resume=True, stop=3)
    with pytest.raises(RunLogError, match='stopped at iteration 3 of 4'):
        read_run(work_dir)


def test_only_the_last_training_counts(copy, finished):
    """A training started anew in the work dir of a finished one makes it unfinished."""
    shutil.copytree(finished.parent / 'data', copy.parent / 'data')
    next_second()
    train(copy.parent, copy.name, stop=3, default_hooks__logger__interval=2)
    with pytest.raises(RunLogError, match='stopped at iteration 2 of 4'):
        read_run(copy)
    # the loss at 1 is only in the log of the first training
    assert read_run(resumed(copy)).curves['loss'][0].tolist() == [2, 3, 4]


def test_test_runs_in_the_same_work_dir_change_nothing(copy, finished):
    """They log no scalars, but dump their config over that of the training."""
    config = Config.fromfile(copy / 'ce_tiny.py')
    config.model = dict(type='SegTTAModel', module=config.model)
    config.dump(copy / 'ce_tiny.py')
    (copy / '29990101_000000/vis_data').mkdir(parents=True)
    config.dump(copy / '29990101_000000/vis_data/config.py')
    assert read_run(copy).settings == read_run(finished).settings


def test_settings_leave_out_what_makes_no_difference(folder, finished, copy):
    def settings(**changes):
        path = next(copy.glob('*/vis_data/config.py'))
        config = Config.fromfile(next(finished.glob('*/vis_data/config.py')))
        config.merge_from_dict({key.replace('__', '.'): value for key, value in changes.items()})
        # dump takes longer than all else here
        path.write_text('\n'.join(f'{k} = {v!r}' for k, v in config.to_dict().items()))
        return read_run(copy).settings

    same = settings()
    volatile = dict(
        randomness__seed=7, work_dir='elsewhere', resume=True, launcher='pytorch', log_level='INFO',
        train_dataloader__num_workers=5, train_cfg__val_interval=1, env_cfg__cudnn_benchmark=False,
        default_hooks__logger__interval=9, default_hooks__checkpoint=None, experiment_name='x',
        val_evaluator__type='IoUMetric', val_dataloader__batch_size=3, vis_backends=[],
        custom_hooks=[
            dict(type='WeightingCurvesHook'), dict(type='PixelWeightPictureHook'),
            dict(type='ClassStatisticsHook', nproc=2), dict(type='ClassFeedbackHook', interval=9),
        ],
    )  # fmt: skip
    for key, value in volatile.items():
        assert settings(**{key: value}) == same, key
    for key, value in dict(
        optim_wrapper__optimizer__lr=0.1, load_from='start.pth', train_cfg__max_iters=3,
        model__decode_head__loss_decode__type='RecallLoss', train_dataloader__batch_size=3,
        train_dataloader__dataset__ann_file='few.txt', randomness__deterministic=True,
        val_dataloader__dataset__ann_file='few.txt', custom_hooks=[dict(type='EMAHook')],
    ).items():  # fmt: skip
        assert settings(**{key: value}) != same, key
    counted = dict(type='ClassStatisticsHook', statistics='other.json')
    assert settings(custom_hooks=[counted]) != same
    assert settings(custom_hooks=[counted | {'nproc': 3}]) == settings(custom_hooks=[counted])
    # feedback counts where the sampler takes it, curves of it do not
    hook = dict(type='ClassFeedbackHook')
    for taken, class_prob in ((True, 'performance'), (False, 'rare')):
        sampler = dict(_delete_=True, type='ClassBalancedInfiniteSampler', class_prob=class_prob)

        def sampled(*hooks, sampler=sampler):
            return settings(train_dataloader__sampler=dict(sampler), custom_hooks=list(hooks))

        assert sampled(hook | {'curves': False}) == sampled(hook)
        assert (sampled(hook | {'interval': 9}) != sampled(hook)) == taken
        assert (sampled() != sampled(hook)) == taken
    assert settings(load_from='iter_2.pth', resume=True) == same


def test_number_of_processes(copy, finished):
    """It is no setting of the config: the log's head tells it, or that there was no launcher."""
    (log,) = copy.glob('*/*.log')
    own = next(copy.glob('*/vis_data/config.py'))
    text = log.read_text()
    one = read_run(copy)
    assert one.details['processes'] == 1 and one.settings == read_run(finished).settings
    assert text.count('    GPU number: 1\n') == 1
    log.write_text(text.replace('GPU number: 1', 'GPU number: 4'))
    four = read_run(copy)
    assert four.details['processes'] == 4
    assert four.settings.items() ^ one.settings.items() == {('processes', 1), ('processes', 4)}
    assert len(compare_runs([(None, one), (None, four)]).methods) == 2
    log.write_text(text.replace('GPU number: 1', ''))
    assert read_run(copy).settings == one.settings
    own.write_text(own.read_text().replace("launcher = 'none'", "launcher = 'pytorch'"))
    unknown = read_run(copy)
    assert 'processes' not in unknown.details and unknown.settings != one.settings


def test_resumed_on_another_number_of_processes(stopped, tmp_path):
    work_dir = shutil.copytree(stopped, tmp_path / 'stopped')
    shutil.copytree(stopped.parent / 'data', tmp_path / 'data')
    (log,) = work_dir.glob('*/*.log')
    resumed(work_dir)
    assert read_run(work_dir).details['processes'] == 1
    log.write_text(log.read_text().replace('GPU number: 1', 'GPU number: 2'))
    assert read_run(work_dir).settings['processes'] == '2, then 1'


def test_configs_import_nothing(copy):
    for path in copy.rglob('*.py'):
        path.write_text(path.read_text() + "\ncustom_imports = dict(imports=['no_such_module'])\n")
    assert read_run(copy).length == 4


def test_a_config_made_in_python_has_no_name(copy):
    (copy / 'ce_tiny.py').rename(copy / '20260101_000000.py')
    assert read_run(copy).config == ''


def test_half_a_last_line_does_not_hurt(copy, finished):
    (log,) = copy.glob('*/vis_data/scalars.json')
    with log.open('a') as file:
        file.write('{"loss": 1.2, "st')
    assert (
        read_run(copy).curves['loss'][1].tolist() == read_run(finished).curves['loss'][1].tolist()
    )


@pytest.mark.parametrize('line', ['{"loss": 1.2, "st', '7', '{"loss": 1}', '{"step": "x"}', '\x00'])
def test_damaged_scalars(copy, line):
    (log,) = copy.glob('*/vis_data/scalars.json')
    lines = log.read_text().splitlines()
    log.write_text('\n'.join([lines[0], line, *lines[1:]]) + '\n')
    with pytest.raises(RunLogError, match=r'scalars\.json is damaged: line 2 is no record'):
        read_run(copy)


def test_what_is_missing_or_damaged_is_named(copy, tmp_path):
    (log,) = copy.glob('*/vis_data/scalars.json')
    session = log.parents[1]
    own = log.with_name('config.py')
    (tmp_path / 'empty').mkdir()

    def reason(path=copy):
        with pytest.raises(RunLogError) as error:
            read_run(path)
        assert '\n' not in str(error.value)
        return str(error.value)

    assert reason(tmp_path / 'none') == 'there is no such folder'
    assert 'nothing is logged in <timestamp>/vis_data/scalars.json' in reason(tmp_path / 'empty')
    scores = session / 'iter_4/class_scores.json'
    whole = scores.read_text()
    scores.write_text((session / 'iter_2/class_scores.json').read_text())
    assert re.fullmatch(rf'{scores} has an aAcc of \S+, the last validation \S+', reason())
    content = json.loads(whole)
    for part, message in (
        (dict(means={'mIoU': 20.0}), 'damaged: aAcc'),
        (dict(means=content['means'] | {'mIoU': 20.0}), r'mIoU is 20\.0, but \S+ by its confusion'),
        (dict(classes=[]), 'it has no rows'),
        (dict(classes=content['classes'][:3]), 'its confusion matrix is not 3 x 3'),
        (dict(classes=[dict(row, IoU=7.0) for row in content['classes']]), 'IoU of .* is 7.0, but'),
        (dict(classes=[dict(row, pixels=7) for row in content['classes']]), 'pixels of .* is 7, '),
        (dict(classes=[dict(row, Acc='7') for row in content['classes']]), "Acc of .* is '7'"),
        (dict(classes=[dict(row, Acc=101) for row in content['classes']]), 'Acc of .* is 101'),
        (dict(classes=[dict(row, **{'class': 'x'}) for row in content['classes']]), 'no names of'),
        (dict(confusion=[[0.5] * 4] * 4), 'entries that are no counts'),
        (dict(confusion=[[1 << 70] * 4] * 4), 'entries that are no counts'),
    ):
        scores.write_text(json.dumps(content | part))
        assert re.match(rf'{scores} is damaged: .*{message.removeprefix("damaged: ")}', reason())
    for text in ('{', '[' * 100_000, '', '\ufeff{}', 'null'):
        scores.write_text(text)
        assert reason().startswith(f'{scores} is damaged: ')
    scores.unlink()
    (session / f'{session.name}.log').unlink()
    assert 'neither iter_4/class_scores.json nor a .log' in reason() and str(session) in reason()

    text = own.read_text()
    own.write_text(text[: len(text) // 2])
    assert f'{own} is no readable config' in reason()
    own.write_text(text.replace('max_iters', 'max_steps'))
    assert reason() == 'its config has neither train_cfg.max_iters nor train_cfg.max_epochs'
    own.unlink()
    assert 'neither iter_4/class_scores.json' in reason()  # there is one in the work dir
    (copy / 'ce_tiny.py').unlink()
    assert reason() == f'its config is missing: {own}, or any .py in {copy}'
    own.write_text(text)
    lines = log.read_text().splitlines(keepends=True)
    log.write_text(''.join(line for line in lines if '"mIoU"' not in line))
    assert reason() == 'trained to iteration 4, but logged no validation with mIoU'
    log.write_text(''.join(lines[:-1]))
    assert reason().startswith('trained to iteration 4, but last validated at 2; train the rest')


def test_to_and_from_json(finished):
    run = read_run(finished)
    text = json.dumps(run.to_dict(), allow_nan=False)
    again = Run.from_dict(json.loads(text))
    assert not again.curves and not again.settings
    assert again.to_dict() == run.to_dict()
    assert np.isnan(again.scores['Acc']['absent']) and again.pixels == run.pixels


LOG = """2026/01/01 12:00:00 - mmengine - INFO -
+-------+-------+-------+
| Class |  IoU  |  Acc  |
+-------+-------+-------+
|  road | {0} | 98.0  |
|  sky  |  nan  |  nan  |
+-------+-------+-------+
"""
VAL = '2026/01/01 12:00:00 - mmengine - INFO - Iter(val) [9/9]    aAcc: 9  mIoU: {}\n'


def test_table_of_the_last_validation():
    """Not one before, not of a test after it, and of several metrics the one with that mIoU."""
    first, last, other = (LOG.format(iou) for iou in ('10.0', '20.0', '30.0'))
    test = LOG.format('40.0') + VAL.format(40).replace('(val)', '(test)')
    log = first + VAL.format(10) + last + other + VAL.format(20) + test
    rows = last_validated_classes(log, 20)
    assert [row['class'] for row in rows] == ['road', 'sky']
    assert rows[0]['IoU'] == 20 and rows[0]['Acc'] == 98 and np.isnan(rows[1]['IoU'])
    assert last_validated_classes(log, 30)[0]['IoU'] == 30
    for miou in (10, 40):
        assert last_validated_classes(log, miou) is None
    cut = last.replace('|  sky  |  nan  |  nan  |', '|  sky  |')
    assert last_validated_classes(cut + VAL.format(20), 20) is None
    assert last_validated_classes('', 20) is None
    other_table = 'a line\n+---+---+\n| a | b |\n+---+---+\n| 1 | 2 |\n+---+---+\n'
    assert last_validated_classes(last + other_table + VAL.format(20), 20)[0]['IoU'] == 20
