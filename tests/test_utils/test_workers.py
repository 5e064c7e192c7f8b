"""Worker processes: order, chunks, errors, death, and the main process afterwards."""

import os
import signal
import subprocess
import sys
from functools import partial

import cv2
import pytest

from mmseg_imbalance.utils.errors import ToolError
from mmseg_imbalance.utils.workers import run_in_workers


def act(job, factor=1):
    if job == 'killer':
        os.kill(os.getpid(), signal.SIGKILL)
    if job == 'bug':
        raise ZeroDivisionError
    if job == 'pid':
        return os.getpid()
    return job * factor


@pytest.mark.parametrize('chunk_size', [1, 3, 7, 100])
def test_results_are_in_the_order_of_the_jobs(chunk_size, capsys):
    results = run_in_workers(partial(act, factor=2), range(7), 2, 'testing', chunk_size)
    assert results == [0, 2, 4, 6, 8, 10, 12]
    captured = capsys.readouterr()
    assert captured.out == '' and 'testing' in captured.err and '100%' in captured.err


def test_no_jobs_no_results():
    assert run_in_workers(act, [], None, 'testing') == []


def test_jobs_run_in_other_processes():
    assert os.getpid() not in run_in_workers(act, ['pid', 'pid'], None, 'testing')


def test_one_worker_is_this_process_and_needs_no_pickle(capsys):
    found = run_in_workers(lambda job: (job, os.getpid()), 'ab', 1, 'testing')
    assert found == [('a', os.getpid()), ('b', os.getpid())]
    assert 'testing' in capsys.readouterr().err


def test_what_cannot_be_pickled():
    with pytest.raises(ToolError, match='cannot get the files .*; use one process, by nproc=1'):
        run_in_workers(lambda job: job, 'ab', 2, 'testing')


@pytest.mark.parametrize('chunk_size', [1, 2])
def test_a_dying_worker_ends_the_run(chunk_size):
    message = 'a worker process died with .* of 3 files to go'
    with pytest.raises(ToolError, match=message) as error:
        run_in_workers(act, ['killer', 'a', 'b'], 2, 'testing', chunk_size)
    assert error.value.exit_code == 1


def test_an_error_is_raised_as_it_is():
    with pytest.raises(ZeroDivisionError):
        run_in_workers(act, ['bug', 'a'], 2, 'testing')


def test_opencv_keeps_its_threads():
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(2)
        run_in_workers(act, ['a', 'a'], 2, 'testing')
        assert cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(before)


KILLED = """
import os, signal, time
from mmseg_imbalance.utils.workers import run_in_workers

def act(job):
    if job == 'kill the parent':
        os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(600)

run_in_workers(act, ['kill the parent', 'a', 'b'], 2, 'testing')
"""


def test_workers_end_with_a_killed_parent():
    process = subprocess.Popen([sys.executable, '-c', KILLED], stdout=subprocess.PIPE)
    process.communicate(timeout=60)  # as long as a worker lives, its end of the pipe is open
    assert process.returncode == -signal.SIGKILL
