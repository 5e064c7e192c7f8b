"""Toy streets and the command lines of the training tools."""

import runpy
import signal
import sys

import pytest
from run_tools import ON_A_CPU, ROOT, run_fork, run_here, run_process  # noqa: F401

TOY_CONFIG = 'configs/recall_loss/recall_deeplabv3-r18-d8_1xb8-800_toy-streets-128x256.py'


@pytest.fixture(scope='session', autouse=True)
def interruptible():
    """Tests that a shell runs in the background ignore interrupts, and so would the tools."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope='session')
def run_tool():
    """Runs a tool; returns its exit code and output as a completed process."""
    return run_here


@pytest.fixture(scope='session', name='run_process')
def in_a_process():
    """The same in a process of its own, where that is the point."""
    return run_process


@pytest.fixture(scope='session', name='run_fork')
def in_a_fork():
    """The same in a process that is a fork of this one, which takes no time to import anything."""
    return run_fork


@pytest.fixture(scope='session')
def toy_data(tmp_path_factory):
    """A tiny toy streets data set."""
    folder = tmp_path_factory.mktemp('toy') / 'toy_streets'
    done = run_here('dataset_converters/toy_streets.py', folder, '--train', 8, '--val', 3)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope='session')
def toy_options(toy_data):
    """The options that turn the shipped toy config into a run of a few iterations."""
    loaders = ('train_dataloader', 'val_dataloader', 'test_dataloader')
    return [
        '--cfg-options',
        *(f'{loader}.dataset.data_root={toy_data}' for loader in loaders),
        # in a tool that runs in this process, workers would take five seconds to end
        *(f'{loader}.num_workers=0' for loader in loaders),
        *(f'{loader}.persistent_workers=False' for loader in loaders),
        'train_dataloader.batch_size=2',
        'default_hooks.checkpoint.interval=2',
        'default_hooks.logger.interval=1',
        'train_cfg.val_interval=2',
    ]


@pytest.fixture(scope='session')
def trained(tmp_path_factory, toy_options):
    """The work dir and log of two training iterations."""
    work_dir = tmp_path_factory.mktemp('trained')
    done = run_here(
        'train.py', TOY_CONFIG, '--work-dir', work_dir, *toy_options, 'train_cfg.max_iters=2'
    )
    assert done.returncode == 0, done.stderr
    return work_dir, done.stdout + done.stderr


@pytest.fixture(scope='session')
def scored(tmp_path_factory, toy_options, trained):
    """A test run with augmentation: its folder (``drawn``, ``out``) and its log."""
    folder = tmp_path_factory.mktemp('scored')
    done = run_here(
        'test.py', TOY_CONFIG, trained[0] / 'iter_2.pth', '--work-dir', folder / 'work',
        '--tta', '--show-dir', folder / 'drawn', '--out', folder / 'out', *toy_options,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder, done.stdout + done.stderr


@pytest.fixture
def call_tool(monkeypatch):
    """Runs a tool's ``main`` in this process, for what ends before anything is built."""

    def call(tool, *args):
        monkeypatch.setattr(sys, 'argv', [tool, *map(str, args)])
        monkeypatch.chdir(ROOT)
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(ROOT / 'tools' / tool), run_name='__main__')
        return end.value.code

    return call
