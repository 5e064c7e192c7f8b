"""The demo as a newcomer runs it, only smaller."""

import cv2
import pytest

pytestmark = pytest.mark.slow


SIZES = ('--data-root', 'data', '--work-dir', 'work', '--train', 8, '--val', 2)


@pytest.fixture(scope='module')
def finished(tmp_path_factory, run_process):
    folder = tmp_path_factory.mktemp('demo')
    return folder, run_process('demo.py', *SIZES, '--iters', 2, cwd=folder, timeout=400)


@pytest.fixture(scope='module')
def again(run_fork):
    """Runs it in the same folder once more."""

    def run(folder, iterations):
        return run_fork('demo.py', *SIZES, '--iters', iterations, cwd=folder, timeout=400)

    return run


def test_report(finished):
    folder, done = finished
    assert done.returncode == 0, done.stdout + done.stderr
    for text in ('IoU of every class', 'Recall of every class', 'bicycle', 'recall loss'):
        assert text in done.stdout
    report = (folder / 'work' / 'report.md').read_text()
    assert '| LMP ' in report and 'train_cfg.max_iters=2' in report and 'TTA' not in report
    assert cv2.imread(str(folder / 'work' / 'predictions.png')).shape[1] > 1000


def test_goes_on_where_it_was(finished, again):
    """What has a result is not trained again; the others go on from their checkpoint."""
    folder, _ = finished
    work = folder / 'work'
    for name in ('lmp', 'recall'):
        (work / 'results' / 'train' / f'{name}_seed0.json').unlink()
    recall = work / 'train' / 'recall_seed0'  # as if cut off after its first iteration
    (recall / 'run.json').unlink()
    (recall / 'iter_2.pth').unlink()
    (recall / 'last_checkpoint').write_text(str(recall / 'iter_1.pth'))
    written = {path: path.stat().st_mtime_ns for path in work.glob('train/*/iter_1.pth')}
    assert len(written) == 3
    done = again(folder, 2)
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(path.stat().st_mtime_ns == time for path, time in written.items())
    assert 'resumed epoch: 0, iter: 1' in (recall / 'output.txt').read_text()
    assert 'resumed epoch' not in (work / 'train' / 'lmp_seed0' / 'output.txt').read_text()


def test_another_demo_in_the_same_folder_is_refused(finished, again):
    folder, _ = finished
    done = again(folder, 3)
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith('demo.py: error')]
    assert 'is of other settings (train_cfg.max_iters=2, now 3)' in line


def test_other_images_are_refused_before_they_are_drawn(finished, run_fork):
    folder, _ = finished
    images = sorted(folder.glob('data/**/*.png'))
    sizes = ('--data-root', 'data', '--work-dir', 'work', '--train', 9, '--val', 2)
    done = run_fork('demo.py', *sizes, cwd=folder)
    assert done.returncode == 2 and "work holds a demo on {'train': 8, 'val': 2}" in done.stderr
    assert sorted(folder.glob('data/**/*.png')) == images


def test_a_failed_attempt_is_no_demo_yet(finished, run_fork):
    """Another one may then ask for other numbers of images."""
    folder, _ = finished
    done = run_fork('demo.py', *SIZES[:2], '--work-dir', 'other', '--train', 4, cwd=folder)
    assert done.returncode == 2 and 'toy_streets.py failed' in done.stderr
    assert not (folder / 'other').exists()
