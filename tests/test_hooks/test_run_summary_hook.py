"""What real, tiny trainings note of themselves: finished, stopped, resumed, started anew."""

import contextlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from checkpoint_files import load
from made_runs import confusion_scores, scalars, train
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop
from mmseg.registry import HOOKS, LOOPS, METRICS
from tiny_data import CLASSES
from tiny_run import run as run_training
from tiny_run import tiny_config
from two_ranks import on_two_ranks

from mmseg_imbalance.hooks import run_summary_hook
from mmseg_imbalance.hooks.run_summary_hook import RunSummaryHook

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
NO_DROPOUT = dict(model__decode_head__dropout_ratio=0)  # whose random numbers are not resumed


def summary(work_dir):
    text = (work_dir / 'run.json').read_text()
    return json.loads(text, parse_constant=lambda name: pytest.fail(f'{name} is no JSON'))


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('runs')


@pytest.fixture(scope='module')
def straight(folder):
    """A training that was never stopped."""
    return train(folder, 'straight', seed=3, **NO_DROPOUT)


@pytest.mark.elsewhere
def test_a_finished_training(straight):
    run = summary(straight)
    assert (run['config'], run['seed'], run['load_from']) == ('ce_tiny', 3, None)
    assert (run['unit'], run['length'], run['reached']) == ('iteration', 4, 4) and run['finished']
    assert run['settings']['train_dataloader']['batch_size'] == 2 and run['processes'] == [1]
    assert {'device', 'Python', 'PyTorch', 'mmseg', 'mmseg_imbalance'} <= run['versions'].keys()
    records = scalars(straight)
    logged = [[r['step'], r['loss']] for r in records if 'loss' in r]  # means up to there
    steps, losses = np.array(run['curves']['loss']).T
    means = np.stack([steps, np.cumsum(losses) / steps], 1)
    assert means == pytest.approx(np.array(logged), abs=1e-4)
    validations = [[r['step'], r['mIoU']] for r in records if 'mIoU' in r]
    assert run['curves']['mIoU'] == validations and [step for step, _ in validations] == [2, 4]
    assert run['scores']['reached'] == 4 and run['scores']['means']['mIoU'] == validations[-1][1]
    (file,) = straight.glob('*/iter_4/class_scores.json')
    iou, recall = confusion_scores(file)
    rows = {row['class']: row for row in run['scores']['classes']}
    assert tuple(rows) == CLASSES and rows['absent']['IoU'] is None
    for name in CLASSES[:-1]:
        assert rows[name]['IoU'] == pytest.approx(iou[name], abs=0.005)
        assert rows[name]['Acc'] == pytest.approx(recall[name], abs=0.005)


def without_session(run):
    """What a resumed training shares with one that was never stopped."""
    own = ('run_id', 'settings')
    return {key: value for key, value in run.items() if key not in own}


@pytest.mark.elsewhere
@pytest.mark.parametrize('stop', [3, 4])
def test_resumed(straight, folder, stop):
    """Stopped after the checkpoint at 2, or right after the last one, before its validation."""
    name = f'stopped at {stop}'
    work_dir = train(folder, name, seed=3, stop=stop, **NO_DROPOUT)
    stopped = summary(work_dir)
    assert (stopped['reached'], stopped['finished']) == (2, False)
    assert [step for step, _ in stopped['curves']['loss']] == [1, 2]
    train(folder, name, seed=3, resume=True, **NO_DROPOUT)
    assert without_session(summary(work_dir)) == without_session(summary(straight))
    assert list(work_dir.glob('*/iter_4/class_scores.json'))


def test_what_was_noted_beyond_the_checkpoint_is_dropped(straight, folder):
    """Resumed from an earlier checkpoint, on another number of processes, and stopped again."""
    work_dir = train(folder, 'again', seed=3, load_from=str(straight / 'iter_2.pth'))
    run, earlier = summary(work_dir), work_dir / 'iter_2.pth'
    assert run['load_from'] == str(straight / 'iter_2.pth')
    checkpoint = load(earlier)
    checkpoint['message_hub']['runtime_info']['run_summary']['processes'] = [2]
    torch.save(checkpoint, earlier)
    train(folder, 'again', seed=3, resume=True, load_from=str(earlier), stop=3)
    stopped = summary(work_dir)
    assert stopped['scores'] is None and not stopped['finished']
    assert [step for step, _ in stopped['curves']['mIoU']] == [2]
    assert stopped['processes'] == [2, 1] and stopped['load_from'] == run['load_from']


def test_the_file_of_another_training_is_not_gone_on_with(straight, folder):
    work_dir = train(folder, 'anew', seed=3, **NO_DROPOUT)
    other = json.loads((straight / 'run.json').read_text())
    foreign = {'run_id': other['run_id'], 'curves': {'mIoU': [[1, 99.0]]}}
    nan = json.dumps(summary(work_dir)).replace('"scores": {', '"scores": NaN, "other": {')
    for text in (json.dumps(foreign), '{', '[]', '[' * 100_000, nan):
        (work_dir / 'run.json').write_text(text)
        train(folder, 'anew', seed=3, resume=True)
        run = summary(work_dir)
        assert run['processes'] == [1] and run['finished'] and run['load_from'] is None
        # the checkpoint has the losses, and the last validation is made once more
        assert [step for step, _ in run['curves']['loss']] == [1, 2, 3, 4]
        assert run['curves']['mIoU'][-1] == other['curves']['mIoU'][-1]
        assert run['scores'] == other['scores']


def test_other_settings_of_a_resumed_training_are_named(folder):
    warning = 'the resumed training had other settings: model.decode_head.dropout_ratio; run.json'
    for stop, dropout, warnings in ((3, 0, 0), (None, 0.5, 1), (None, 0.5, 1)):
        rate = dict(model__decode_head__dropout_ratio=dropout)
        work_dir = train(folder, 'other', seed=3, stop=stop, resume=stop is None, **rate)
        logged = ''.join(log.read_text() for log in work_dir.glob('*/*.log'))
        assert logged.count(warning) == warnings


def test_a_training_that_noted_nothing(straight, folder):
    """To resume it once it has ended scores its last checkpoint."""
    work_dir = train(folder, 'nothing', seed=3, summary=False, **NO_DROPOUT)
    assert not (work_dir / 'run.json').exists()
    train(folder, 'nothing', seed=3, resume=True)
    run, expected = summary(work_dir), summary(straight)
    for key in ('scores', 'reached', 'finished', 'versions'):
        assert run[key] == expected[key]
    assert run['processes'] == ['?', 1] and run['load_from'] == '?'  # nobody knows
    assert run['curves']['loss'] == expected['curves']['loss']


def test_scores_of_classes_after_a_training_with_iou_metric(straight, folder):
    metric = dict(_delete_=True, type='IoUMetric', iou_metrics=['mIoU'])
    work_dir = train(folder, 'iou', seed=3, val_evaluator=metric, **NO_DROPOUT)
    run = summary(work_dir)
    assert run['scores']['classes'] == [] and run['finished']
    assert run['scores']['means']['mIoU'] == pytest.approx(
        summary(straight)['scores']['means']['mIoU'], abs=0.01
    )
    train(folder, 'iou', seed=3, resume=True)
    scored = summary(work_dir)
    assert scored['scores'] == summary(straight)['scores']
    assert [step for step, _ in scored['curves']['mIoU']] == [2, 4]


@pytest.mark.elsewhere
def test_training_by_epochs(folder):
    work_dir = train(folder, 'epochs', stop=6, **EPOCHS)
    assert summary(work_dir)['reached'] == 1
    train(folder, 'epochs', resume=True, **EPOCHS)
    run = summary(work_dir)
    assert (run['unit'], run['length'], run['reached']) == ('epoch', 2, 2)
    assert [step for step, _ in run['curves']['loss']] == list(range(1, 9))
    assert [step for step, _ in run['curves']['mIoU']] == [1, 2]


def test_without_validation(folder):
    parts = ('val_dataloader', 'val_cfg', 'val_evaluator')
    run = summary(train(folder, 'no val', **dict.fromkeys(parts)))
    assert run['finished'] and run['scores'] is None and list(run['curves']) == ['loss']


@LOOPS.register_module()
class OwnValidation(BaseLoop):
    def __init__(self, runner, dataloader, evaluator=None):
        super().__init__(runner, dataloader)

    def run(self):
        self.runner.logger.info('validated in a way of its own')


def test_a_validation_of_ones_own(folder):
    work_dir = train(folder, 'own val', val_cfg=dict(_delete_=True, type='OwnValidation'))
    run = summary(work_dir)
    assert run['finished'] and run['scores'] is None
    assert 'validated in a way of its own' in next(work_dir.rglob('*.log')).read_text()


def test_long_curves_are_means_over_stretches(folder, monkeypatch):
    monkeypatch.setattr(run_summary_hook, '_POINTS', 2)
    work_dir = train(folder, 'stretches', iters=5)
    curve = summary(work_dir)['curves']['loss']
    logged = [record['loss'] for record in scalars(work_dir) if 'loss' in record]
    assert [step for step, _ in curve] == [3]  # what is left over is no stretch
    assert curve[0][1] == pytest.approx(logged[2], abs=1e-4)  # the mean up to there


def test_what_json_does_not_know_is_written_in_words(folder):
    loss = dict(type='LossMaxPooling', p=float('inf'), ratio=0.5)
    run = summary(train(folder, 'inf', loss=loss))
    assert run['settings']['model']['decode_head']['loss_decode']['p'] == 'inf'


def test_a_full_disk_does_not_end_the_training(folder, monkeypatch):
    def full(*_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(run_summary_hook, 'write_atomically', full)
    work_dir = train(folder, 'full')
    assert (work_dir / 'iter_4.pth').exists() and not (work_dir / 'run.json').exists()
    (log,) = work_dir.glob('*/*.log')
    assert 'RunSummaryHook wrote no run.json: [Errno 28] No space left' in log.read_text()


def test_evaluations_outside_of_a_training_are_not_recorded(folder):
    hook = RunSummaryHook()
    hook.after_val_epoch(None, {'mIoU': 1.0})
    work_dir = train(folder, 'val', hooks=[dict(type='ValidateAgainHook')])
    assert summary(work_dir)['curves']['mIoU'][-1][0] == 4


@HOOKS.register_module(force=True)
class ValidateAgainHook(Hook):
    """Validates once more after the training, with other weights."""

    priority = 'LOWEST'

    def after_train(self, runner):
        before = summary(Path(runner.work_dir))
        for parameter in runner.model.parameters():
            parameter.data.zero_()
        runner.val_loop.run()
        assert summary(Path(runner.work_dir)) == before


@METRICS.register_module(force=True)
class OddMetric(BaseMetric):
    """Returns what is not a number, too, and has scores of its own."""

    scores = [1, 2]

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        return dict(per_image=[1.0, 2.0], nothing=None, odd=1.5)


def test_other_metrics_and_prefixes(folder, straight):
    metrics = [dict(type='OddMetric'), dict(type='ImbalanceMetric', prefix='imb')]
    run = summary(train(folder, 'metrics', seed=3, val_evaluator=metrics, **NO_DROPOUT))
    scores, expected = run['scores'], summary(straight)['scores']
    assert scores['means'] == expected['means'] | {'odd': 1.5}
    assert scores['classes'] == expected['classes']


def test_with_the_moving_average_and_the_best_checkpoint(folder):
    """The validation at the end is of the averaged weights, too."""
    options = dict(
        hooks=[dict(type='EMAHook', momentum=0.5)],
        default_hooks__checkpoint__save_best='mIoU',
        **NO_DROPOUT,
    )
    expected = summary(train(folder, 'ema', **options))
    work_dir = train(folder, 'ema stopped', stop=4, **options)
    train(folder, 'ema stopped', resume=True, **options)
    assert summary(work_dir)['scores'] == expected['scores']
    assert list(work_dir.glob('best_mIoU_iter_*.pth'))


def test_early_stopping(folder):
    stopping = dict(type='EarlyStoppingHook', monitor='mIoU', rule='less', patience=1)
    run = summary(train(folder, 'early', iters=8, hooks=[stopping], train_cfg__val_interval=1))
    assert run['finished'] and run['reached'] < run['length'] == 8
    assert run['scores']['reached'] == run['reached']


def test_a_validation_that_begins_after_the_end_is_not_made(folder):
    run = summary(train(folder, 'no begin', train_cfg__val_begin=9))
    assert run['finished'] and run['scores'] is None


def test_two_ranks_have_one_file(tmp_path):
    on_two_ranks(_train_on_ranks, tmp_path)
    run = summary(tmp_path / '0' / 'run')
    assert run['processes'] == [2] and run['finished'] and run['scores']['reached'] == 2
    assert not (tmp_path / '1' / 'run' / 'run.json').exists()


def _train_on_ranks(rank, folder):
    """Each on a file system of its own, stopped before the last validation and resumed."""
    os.environ['LOCAL_RANK'] = str(rank)  # as torchrun sets it
    for resume in (False, True):
        cfg = tiny_config(
            folder / str(rank), iters=2, augment=False, val=True, launcher='pytorch', resume=resume,
            train_cfg__val_interval=2, custom_hooks=[dict(type='RunSummaryHook')],
        )  # fmt: skip
        cfg.experiment_name = cfg.visualizer.name = f'ranks {resume}'
        if not resume:
            cfg.custom_hooks.append(dict(type='StopHook', after=2, priority='VERY_LOW'))
        with contextlib.suppress(KeyboardInterrupt):
            run_training(cfg)
        dist.barrier()
        if rank == 1 and not resume:  # MMEngine saves on rank 0
            shutil.copytree(folder / '0' / 'run', folder / '1' / 'run', dirs_exist_ok=True)
            (folder / '1' / 'run' / 'run.json').unlink()
            last = folder / '1' / 'run' / 'last_checkpoint'
            last.write_text(str(last.with_name('iter_2.pth')))
        dist.barrier()
