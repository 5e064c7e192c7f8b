"""tools/study.py and study_report.py on tiny trainings, as users run them."""

import json
import shutil
import time
from pathlib import Path

import cv2
import pytest
from filelock import FileLock
from run_tools import ROOT, ForkedTool

DEMO = str(ROOT / 'lab/plans/demo.py')
PLAN = """
title = 'Tiny'
setting = 'deeplabv3-r18-d8_1xb8-800_toy-streets-128x256'
seeds = {seeds}
hold_out = dict(share=0.25, group='')
__loaders = [f'{{stage}}_dataloader' for stage in ('train', 'val', 'test')]
options = {{
    **{{f'{{loader}}.dataset.data_root': {data!r} for loader in __loaders}},
    **{{f'{{loader}}.num_workers': 0 for loader in __loaders}},
    **{{f'{{loader}}.persistent_workers': False for loader in __loaders}},
    'train_cfg.max_iters': {iterations},
    'train_dataloader.batch_size': 2,
    'model.backbone.stem_channels': 8,
    'model.backbone.base_channels': 8,
    'model.decode_head.in_channels': 64,
    'model.decode_head.channels': 8,
}}
methods = {{
    'ce': dict(name='cross-entropy', config='cross_entropy/ce'),
    'focal': dict(
        name='focal loss',
        config='baselines/focal',
        grid={{'head.loss_decode.gamma': [2.0, {gamma}]}},
    ),
    'recall': dict(
        name='recall loss',
        config='recall_loss/recall',
        options={{'head.loss_decode.floor': {floor}}},
        ours=True,
    ),
}}
"""


def write_plan(path, data, seeds=(0,), iterations=4, gamma=1.0, floor=0.0):
    filled = PLAN.format(
        data=str(data), seeds=list(seeds), iterations=iterations, gamma=gamma, floor=floor
    )
    path.write_text(filled)
    return path


@pytest.fixture(scope='module')
def finished(tmp_path_factory, toy_data, run_fork):
    """A whole study: its folder and the process that did it."""
    folder = tmp_path_factory.mktemp('study') / 'with space, comma'
    folder.mkdir()
    plan = write_plan(folder / 'tiny.py', toy_data)
    done = run_fork('study.py', plan, '--work-dir', folder / 'work', '--jobs', 2, timeout=580)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done


def records(folder):
    return {
        str(path.relative_to(folder).with_suffix('')): json.loads(path.read_text())
        for path in folder.rglob('*.json')
    }


@pytest.mark.slow
def test_every_trial_leaves_a_record(finished):
    folder, _ = finished
    found = records(folder / 'work' / 'results')
    assert set(found) == {
        'tune/focal_gamma-2.0',
        'tune/focal_gamma-1.0',
        *(f'train/{method}_seed0' for method in ('ce', 'focal', 'recall')),
        *(f'cost/{method}' for method in ('ce', 'focal', 'recall')),
    }
    for name, record in found.items():
        assert ('augmented' in record and bool(record['augmented'])) == name.startswith('train/')
        assert (record['run'] is None) == name.startswith('cost/')
        assert str(folder) not in json.dumps(record)
    assert found['cost/ce']['seconds'] > 0 and found['cost/ce']['memory'] > 100
    assert found['train/ce_seed0']['run']['work_dir'] == 'ce_seed0'


@pytest.mark.slow
def test_scores_are_those_of_the_trainings(finished):
    folder, _ = finished
    for name in ('ce_seed0', 'recall_seed0'):
        record = records(folder / 'work' / 'results')[f'train/{name}']
        (log,) = (folder / 'work' / 'train' / name).glob('*/vis_data/scalars.json')
        last = json.loads(log.read_text().splitlines()[-1])
        assert record['run']['means']['mIoU'] == last['mIoU'] and last['step'] == 4
        scores = json.loads(
            (folder / 'work/train' / name / 'augmented/class_scores.json').read_text()
        )
        assert record['augmented']['mAcc'] == scores['means']['mAcc']


@pytest.mark.slow
def test_tuning_trains_and_validates_on_the_training_set(finished):
    folder, _ = finished
    record = records(folder / 'work' / 'results')['tune/focal_gamma-2.0']
    assert record['run']['data']['data_prefix.img_path'] == 'leftImg8bit/train'
    own = folder / 'work' / 'tune' / 'focal_gamma-2.0'
    lists = {name: (own / f'{name}.txt').read_text().split() for name in ('train', 'val')}
    assert (len(lists['train']), len(lists['val'])) == (6, 2)
    assert max(lists['train']) < min(lists['val'])
    assert sum(record['run']['pixels'].values()) <= 2 * 128 * 256


@pytest.mark.slow
def test_the_report_lies_beside_the_results(finished):
    folder, done = finished
    report = (folder / 'work' / 'report.md').read_text()
    assert f'written: {folder}/work/report.md' in done.stdout.replace('\n', '')
    assert 'recall loss' in report and '## Time and memory of the training' in report


def written(folder):
    """When the files of trainings and their results were written."""
    files = [*folder.glob('*/*/**/*'), *folder.glob('results/*/*')]
    return {p: p.stat().st_mtime_ns for p in files if p.is_file()}


@pytest.mark.slow
def test_predictions_of_the_networks_in_a_work_dir(finished, tmp_path, run_fork):
    folder, _ = finished
    plan, results = folder / 'tiny.py', folder / 'work' / 'results'
    asked = ('--stages', 'train', '--methods', 'ce', 'recall', '--predictions')
    done = run_fork('study.py', plan, '--work-dir', folder / 'work', *asked)
    assert done.returncode == 0, done.stderr
    assert 'predictions.png' in done.stdout
    picture = cv2.imread(str(folder / 'work' / 'predictions.png'))
    assert picture.shape[1] == 4 * 352  # image, truth and two networks
    elsewhere = run_fork('study.py', plan, '--work-dir', tmp_path, '--results', results, *asked)
    assert elsewhere.returncode == 2
    assert 'last_checkpoint is missing: ce_seed0 was not trained there' in elsewhere.stderr
    assert not (tmp_path / 'predictions.png').exists()


@pytest.mark.slow
def test_run_again_there_is_nothing_to_do(finished, run_fork):
    folder, _ = finished
    before = written(folder / 'work')
    done = run_fork('study.py', folder / 'tiny.py', '--work-dir', folder / 'work')
    assert done.returncode == 0 and 'all is done' in done.stdout
    assert len(before) > 50 and written(folder / 'work') == before


@pytest.mark.slow
def test_a_changed_plan_is_no_continuation(finished, run_fork, toy_data, tmp_path):
    folder = shutil.copytree(finished[0], tmp_path / 'copy')
    plan = write_plan(folder / 'changed.py', toy_data, seeds=(0,), floor=3.0)
    arguments = [plan, '--work-dir', folder / 'work', '--stages', 'train', '--methods', 'recall']
    done = run_fork('study.py', *arguments)
    assert done.returncode == 2
    difference = 'is of other settings (head.loss_decode.floor=0.0, now 3.0); delete it'
    assert f'recall_seed0.json {difference}' in done.stderr
    # the advice followed, the training is still another one
    (folder / 'work' / 'results' / 'train' / 'recall_seed0.json').unlink()
    done = run_fork('study.py', *arguments)
    failures = [line for line in done.stderr.splitlines() if line.startswith('failed: ')]
    assert done.returncode == 1 and len(failures) == 2
    assert f'train/recall_seed0 {difference}' in failures[0]
    assert failures[1].startswith('failed: report: ')
    assert f'cost/recall.json {difference}' in failures[1]


@pytest.mark.slow
def test_calibration_takes_the_tuned_networks(finished, run_fork, tmp_path):
    folder = shutil.copytree(finished[0], tmp_path / 'copy')
    own = folder / 'work' / 'tune'
    for path in own.glob('*/last_checkpoint'):  # names a file by its whole path
        path.write_text(str(path.parent / Path(path.read_text()).name))
    arguments = [folder / 'tiny.py', '--work-dir', folder / 'work', '--stages', 'calibrate']
    done = run_fork('study.py', *arguments, '--methods', 'focal', timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    (name,) = (path.name for path in (folder / 'work/results/calibrate').iterdir())
    record = json.loads((folder / 'work/results/calibrate' / name).read_text())
    calibrated = own / name.removesuffix('.json') / 'calibrated'
    validated = records(folder / 'work/results')['train/ce_seed0']['run']['pixels']
    for objective, means in record['calibrated'].items():
        scores = json.loads((calibrated / objective / 'class_scores.json').read_text())
        assert scores['means']['mIoU'] == means['mIoU']
        assert {row['class']: row['pixels'] for row in scores['classes']} == validated
    assert {'none', 'mIoU'} <= record['calibrated'].keys()
    held_out = json.loads((calibrated / 'mIoU.json').read_text())['tradeoff']
    assert record['tradeoff'] == held_out and len({p['mIoU'] for p in held_out}) > 2
    assert json.loads((calibrated / 'mIoU.json').read_text())['offsets']
    lists = (own / name.removesuffix('.json') / 'train.txt').read_text()
    config = (calibrated / 'focal_deeplabv3-r18-d8_1xb8-800_toy-streets-128x256.py').read_text()
    assert f"ann_file='{own}" in config and len(lists.split()) == 6


@pytest.mark.slow
def test_a_training_that_was_not_scored_is(finished, run_fork, tmp_path):
    """As if stopped in the last validation, after the last checkpoint was written."""
    folder = shutil.copytree(finished[0], tmp_path / 'copy')
    own, name = folder / 'work' / 'train' / 'ce_seed0', 'train/ce_seed0'
    before = records(folder / 'work' / 'results')[name]
    (folder / 'work' / 'results' / f'{name}.json').unlink()
    (own / 'run.json').unlink()
    last = own / 'last_checkpoint'  # names a file by its whole path
    last.write_text(str(own / Path(last.read_text()).name))
    arguments = [folder / 'tiny.py', '--work-dir', folder / 'work', '--stages', 'train']
    done = run_fork('study.py', *arguments, '--methods', 'ce', timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'resumed epoch: 0, iter: 4' in (own / 'output.txt').read_text()
    after = records(folder / 'work' / 'results')[name]
    assert after['run']['pixels'] == before['run']['pixels']
    assert [step for step, _ in after['loss']] == [1, 2, 3, 4]


def test_two_at_once_are_one_too_many(tmp_path, toy_data, call_tool, capsys):
    plan = write_plan(tmp_path / 'tiny.py', toy_data)
    (tmp_path / 'work').mkdir()
    with FileLock(tmp_path / 'work' / '.lock'):
        assert call_tool('study.py', plan, '--work-dir', tmp_path / 'work') == 2
    assert 'another study is at work in' in capsys.readouterr().err


@pytest.mark.slow
def test_report(finished, run_fork, tmp_path):
    folder, _ = finished
    arguments = [folder / 'tiny.py', '--results', folder / 'work' / 'results']
    tool, wide = 'analysis_tools/study_report.py', {'COLUMNS': '200'}
    done = run_fork(tool, *arguments, '--out-dir', tmp_path / 'out', env=wide)
    assert done.returncode == 0, done.stderr
    assert 'recall loss' in done.stdout and 'written: ' in done.stdout
    report = (tmp_path / 'out' / 'report.md').read_text()
    command = next(line for line in report.splitlines() if line.startswith('python tools/train.py'))
    assert 'randomness.seed=0' in command
    page = tmp_path / 'page.md'
    page.write_text('<!-- results: tiny summary -->\n<!-- end of results -->\n')
    check = [*arguments, '--pages', page, '--check']
    done = run_fork(tool, *check)
    assert done.returncode == 1 and f'out of date: {page}\n' in done.stdout
    done = run_fork(tool, *arguments, '--pages', page)
    assert done.returncode == 0 and '| recall loss ' in page.read_text()
    assert run_fork(tool, *check).returncode == 0


@pytest.mark.slow
def test_interrupted_it_goes_on_where_it_was(tmp_path, toy_data, run_fork):
    plan = write_plan(tmp_path / 'tiny.py', toy_data, iterations=40)
    arguments = [plan, '--work-dir', tmp_path / 'work', '--stages', 'train', '--methods', 'recall']
    folder = tmp_path / 'work' / 'train' / 'recall_seed0'
    with (tmp_path / 'output').open('w+') as output:
        study = ForkedTool(['python', ROOT / 'tools/study.py', *arguments], output, output)
        waited = time.monotonic()
        while not (folder / 'iter_10.pth').is_file() and time.monotonic() - waited < 120:
            time.sleep(0.05)
        study.terminate()
        assert study.wait(60) == 130
        output.seek(0)
        assert 'interrupted; run the same command again' in output.read()
    assert not list((tmp_path / 'work').rglob('results/*/*.json'))
    done = run_fork('study.py', *arguments, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'resumed epoch: 0, iter: ' in (folder / 'output.txt').read_text()
    record = records(tmp_path / 'work' / 'results')['train/recall_seed0']
    steps = [step for step, _ in record['loss']]
    assert steps[-1] == 40 and steps == sorted(set(steps))


@pytest.mark.slow
def test_a_failure_does_not_stop_the_others(tmp_path, toy_data, run_fork):
    plan = write_plan(tmp_path / 'tiny.py', toy_data)
    plan.write_text(
        plan.read_text().replace("'head.loss_decode.floor': 0.0", "'head.loss_decode.flor': 0.0")
    )
    arguments = [plan, '--work-dir', tmp_path / 'work', '--stages', 'train', '--jobs', 1]
    done = run_fork('study.py', *arguments, '--methods', 'recall', 'ce', timeout=300)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith('failed: ')]
    assert line.startswith('failed: train recall_seed0: failed with exit code ')
    assert 'flor' in line and 'output.txt' in line
    assert set(records(tmp_path / 'work' / 'results')) == {'train/ce_seed0'}


def test_nothing_is_tuned_before_the_baseline(tmp_path, toy_data, call_tool, capsys):
    plan = write_plan(tmp_path / 'tiny.py', toy_data)
    grid = "config='cross_entropy/ce', grid={'optim_wrapper.optimizer.lr': [1e-3, 1e-2]}"
    plan.write_text(plan.read_text().replace("config='cross_entropy/ce'", grid))
    arguments = ['study.py', plan, '--work-dir', tmp_path / 'work', '--stages']
    assert call_tool(*arguments, 'train', '--methods', 'recall') == 2
    assert 'nothing is chosen yet for ce: run --stages tune' in capsys.readouterr().err
    # what tuning needs comes along
    assert call_tool(*arguments, 'tune', '--methods', 'focal', '--dry-run') == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines if line.startswith('tune ')] == [
        'ce_lr-0.001', 'ce_lr-0.01', 'focal_gamma-2.0', 'focal_gamma-1.0'
    ]  # fmt: skip


def test_dry_run_lists_what_is_left(tmp_path, toy_data, run_tool):
    plan = write_plan(tmp_path / 'tiny.py', toy_data, seeds=(5,))
    done = run_tool('study.py', plan, '--work-dir', tmp_path / 'work', '--dry-run')
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()[-8:]
    assert ': python tools/train.py configs/cross_entropy/ce_' in lines[2]
    open_yet = ' (not tuned yet, with the first values: focal)'
    assert [line.partition(': python')[0] for line in lines] == [
        'tune focal_gamma-2.0', 'tune focal_gamma-1.0',
        'train ce_seed5', f'train focal_seed5{open_yet}', 'train recall_seed5',
        'cost ce', f'cost focal{open_yet}', 'cost recall',
    ]  # fmt: skip
    assert not (tmp_path / 'work').exists()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['nowhere.py'], 'plan not found: nowhere.py'),
        (['PLAN', '--methods', 'lmp'], "has no method 'lmp': ce, focal, recall"),
        (['PLAN', '--seeds', '0', '7'], 'has no seed 7: 0'),
        (['PLAN', '--stages', 'train'], 'nothing is chosen yet for focal: run --stages tune first'),
        (['PLAN', '--stages', 'test'], "invalid choice: 'test'"),
        ([DEMO, '--stages', 'calibrate'], 'the plan demo has no hold_out to calibrate on'),
        ([DEMO, '--stages', 'calibrate', '--dry-run'], 'the plan demo has no hold_out to'),
        (['PLAN', '--jobs', '0'], '--jobs'),
    ],
)
def test_mistakes(tmp_path, toy_data, call_tool, capsys, arguments, message):
    plan = str(write_plan(tmp_path / 'tiny.py', toy_data))
    given = [plan if word == 'PLAN' else word for word in arguments]
    assert call_tool('study.py', *given, '--work-dir', tmp_path / 'work') == 2
    assert message in capsys.readouterr().err
    assert not list((tmp_path / 'work').glob('*/*'))


def test_no_results(tmp_path, toy_data, call_tool, capsys):
    plan = write_plan(tmp_path / 'tiny.py', toy_data)
    assert call_tool('analysis_tools/study_report.py', plan) == 2
    assert 'has no result of ce' in capsys.readouterr().err


@pytest.mark.slow
def test_scripts_say_what_is_missing(tmp_path, run_process):
    for name in ('camvid', 'clothing'):
        done = run_process(f'study_{name}.sh', cwd=tmp_path)
        assert done.returncode == 2 and f'data/{name} is missing' in done.stderr
        assert 'git clone --depth 1' in done.stderr
        assert f'dataset_converters/{name}.py' in done.stderr


def test_trainings_of_several_gpus_are_commands_of_the_launcher(call_tool, capsys):
    assert call_tool('study.py', 'lab/plans/cityscapes.py', '--dry-run', '--gpus', 2) == 0
    config = 'configs/loss_max_pooling/lmp_deeplabv3-r101-d8_4xb2-80k_cityscapes-512x1024.py'
    open_yet = ' (not tuned yet, with the first values: lmp)'
    shown = capsys.readouterr().out
    assert f'train lmp_seed0{open_yet}: bash tools/dist_train.sh {config} 2 ' in shown
