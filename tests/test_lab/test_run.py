"""Reading the run.json of trainings: finished, stopped, missing, damaged."""

import json
import shutil

import numpy as np
import pytest
from made_runs import train
from tiny_data import CLASSES

from lab.study.compared_runs import compare_runs
from lab.study.run import RunError, read_run


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    return train(tmp_path_factory.mktemp('runs'), 'finished', seed=3)


@pytest.fixture
def changed(finished, tmp_path):
    """A copy of the finished run with other values in its file."""

    def change(**values):
        folder = tmp_path / 'run'
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(finished, folder)
        content = json.loads((finished / 'run.json').read_text())
        (folder / 'run.json').write_text(json.dumps(content | values))
        return folder

    return change


def test_a_finished_run(finished):
    run, content = read_run(finished), json.loads((finished / 'run.json').read_text())
    assert (run.config, run.seed, run.unit, run.length) == ('ce_tiny', 3, 'iteration', 4)
    assert run.work_dir == str(finished) and run.data['type'] == 'TinyDataset'
    assert run.details['lr'] == 5e-3 and run.details['batch'] == 2
    assert run.details['length'] == '4 iterations' and run.details['processes'] == '1'
    assert list(run.scores['IoU']) == list(CLASSES) == run.classes
    for row in content['scores']['classes'][:-1]:
        assert run.scores['IoU'][row['class']] == row['IoU']
        assert run.scores['Acc'][row['class']] == row['Acc']
    assert np.isnan(run.scores['Acc']['absent']) and run.pixels['absent'] == 0
    assert sum(run.pixels.values()) == 9 * 32 * 32 and run.training_share is None
    assert run.means == content['scores']['means'] and 'mF1' in run.means
    assert run.curves['loss'][0].tolist() == [1, 2, 3, 4]
    assert run.curves['mAcc'][1].tolist() == [value for _, value in content['curves']['mAcc']]


def test_processes_are_a_setting(finished, changed):
    one, four = read_run(finished), read_run(changed(processes=[4]))
    assert four.settings.items() ^ one.settings.items() == {('processes', '1'), ('processes', '4')}
    assert len(compare_runs([(None, one), (None, four)]).methods) == 2
    assert read_run(changed(processes=[2, 1])).details['processes'] == '2, then 1'


def test_undefined_values_are_nan(changed):
    steps, values = read_run(changed(curves={'loss': [[1, 2.5], [2, None]]})).curves['loss']
    assert steps.tolist() == [1, 2] and values[0] == 2.5 and np.isnan(values[1])


def test_shares_of_training_pixels_and_images(finished, changed):
    scores = json.loads((finished / 'run.json').read_text())['scores']
    rows = [row | {'training %': 25.0, 'images %': 75.0} for row in scores['classes']]
    run = read_run(changed(scores=scores | {'classes': rows}))
    assert run.training_share == dict.fromkeys(CLASSES, 25.0)
    assert run.image_share == dict.fromkeys(CLASSES, 75.0)
    assert read_run(finished).image_share is None


def test_what_cannot_be_read_is_named(finished, changed, tmp_path):
    def reason(path):
        with pytest.raises(RunError) as error:
            read_run(path)
        assert '\n' not in str(error.value)
        return str(error.value)

    folder = changed(finished=False, reached=2)
    resume = f'finish and score it with tools/train.py {folder}/ce_tiny.py --work-dir {folder}'
    assert reason(folder) == f'not finished: recorded up to iteration 2 of 4; {resume} --resume'
    assert reason(tmp_path / 'none') == 'there is no such folder'
    (folder / 'run.json').unlink()
    assert reason(folder).startswith(f'it has no run.json, which RunSummaryHook writes; {resume}')
    # a test in the same folder writes its config over that of the training
    (folder / 'ce_tiny.py').write_text('tested = True')
    (own,) = folder.glob('*/vis_data/config.py')
    assert f'tools/train.py {own} --work-dir' in reason(folder)
    (folder / 'last_checkpoint').unlink()
    assert reason(folder).endswith('it has no checkpoint either: train it with tools/train.py')
    assert reason(changed(scores=None)) == 'it was not validated at its end, as its config has it'
    unscored = reason(changed(scores={'means': {'mIoU': 3.0}, 'classes': []}))
    assert unscored.startswith('it has no scores of its classes')
    assert unscored.endswith('--resume --cfg-options val_evaluator._delete_=True '
                             'val_evaluator.type=ImbalanceMetric')  # fmt: skip
    for text in ('{', '[' * 100_000, '', 'null', '[]', '{}'):
        (folder / 'run.json').write_text(text)
        assert reason(folder).startswith(f'{folder}/run.json is damaged: ')
    for values in ({'processes': 3}, {'curves': [1]}, {'scores': 7}, {'settings': {'model': 1}}):
        assert 'run.json is damaged: ' in reason(changed(**values))
