"""The demo as a newcomer runs it, only smaller."""

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def demo(run_tool):
    """Runs a small demo in a folder."""

    def run(folder, *options):
        sizes = ('--data-root', 'data', '--work-dir', 'work', '--train', 8, '--val', 2)
        return run_tool('demo.py', *options, *sizes, cwd=folder, timeout=400)

    return run


@pytest.fixture(scope='module')
def finished(tmp_path_factory, demo):
    folder = tmp_path_factory.mktemp('demo')
    return folder, demo(folder, '--iters', '2')


def test_report(finished):
    folder, done = finished
    assert done.returncode == 0, done.stdout + done.stderr
    report = (folder / 'work' / 'report.md').read_text()
    for text in (
        'bicycle',
        '2 iterations',
        'recall: recall loss',
        'IoU: loss max-pooling',
        'mIoU and',
    ):
        assert text in report
    assert (folder / 'work' / 'report.png').read_bytes()[:4] == b'\x89PNG'
    for method in ('cross-entropy', 'loss_max-pooling', 'recall_loss'):
        assert len(list((folder / 'work' / method / 'predictions').rglob('*.png'))) == 2


def test_goes_on_where_it_was(finished, demo):
    folder, _ = finished
    checkpoints = {path: path.stat().st_mtime_ns for path in folder.glob('work/*/iter_2.pth')}
    assert len(checkpoints) == 3
    recall = folder / 'work' / 'recall_loss'  # as if cut off after its first iteration
    (recall / 'iter_2.pth').unlink()
    (recall / 'last_checkpoint').write_text('work/recall_loss/iter_1.pth')
    done = demo(folder, '--iters', '2')
    assert done.returncode == 0, done.stdout + done.stderr
    for path, written in checkpoints.items():
        assert (path.stat().st_mtime_ns == written) == ('recall_loss' not in str(path))
    assert 'resumed epoch: 0, iter: 1' in (recall / 'train.out').read_text()


def test_another_demo_in_the_same_folder_is_refused(finished, demo):
    folder, _ = finished
    done = demo(folder, '--iters', '3')
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith('demo.py: error')]
    assert '"iters": 2' in line and '"iters": 3' in line and '--work-dir' in line


def test_a_failure_shows_its_reason(tmp_path, demo):
    (tmp_path / 'work' / 'cross-entropy').mkdir(parents=True)
    (tmp_path / 'work' / 'cross-entropy' / 'last_checkpoint').write_text('gone/iter_1.pth')
    done = demo(tmp_path, '--iters', '2')
    assert done.returncode == 1
    assert 'gone/iter_1.pth' in done.stderr and 'train.out' in done.stderr
