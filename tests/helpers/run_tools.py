"""Tools as users call them, in a process of their own or, without its imports, in this one."""

import contextlib
import io
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import warnings
from concurrent.futures import thread as futures
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import cv2
import numpy as np
import torch
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer
from mmengine_in_tests import no_earlier_runs
from mmseg.visualization import SegLocalVisualizer

ROOT = Path(__file__).resolve().parents[2]
# One thread: the images are tiny, and several tests may run at once.
ON_A_CPU = {'CUDA_VISIBLE_DEVICES': '', 'OMP_NUM_THREADS': '1'}


def run_process(tool, *args, env=None, timeout=120, cwd=ROOT):
    """Runs a tool as a process of its own; returns it completed, with its output as text."""
    path = str(ROOT / 'tools' / tool)
    command = [sys.executable, path] if tool.endswith('.py') else [path]
    venv_first = f'{Path(sys.executable).parent}:{os.environ["PATH"]}'
    return subprocess.run(
        [*command, *map(str, args)],
        env={**os.environ, 'PATH': venv_first, **ON_A_CPU, **(env or {})},
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=cwd,
    )


def run_here(tool, *args, env=None, cwd=ROOT):
    """Runs a tool in this process; returns what :func:`run_process` does."""
    out, err = io.StringIO(), io.StringIO()
    with no_earlier_runs(DefaultScope, Visualizer, SegLocalVisualizer), torch.random.fork_rng():
        code = _run(tool, args, out, err, env, cwd)
    return subprocess.CompletedProcess(tool, code, out.getvalue(), err.getvalue())


def run_fork(tool, *args, env=None, timeout=120, cwd=ROOT):
    """Runs a tool as a process that is a fork of this one, without its imports.

    Returns what :func:`run_process` does.
    """
    with tempfile.TemporaryFile('w+') as out, tempfile.TemporaryFile('w+') as err:
        fork = ForkedTool([sys.executable, ROOT / 'tools' / tool, *args], out, err, env, cwd)
        try:
            code = fork.wait(timeout)
        finally:
            fork.kill()
        output = [file.seek(0) or file.read() for file in (out, err)]
    return subprocess.CompletedProcess(tool, code, *output)


class ForkedTool:
    """A tool at work in a fork of this process; has what the laboratory asks of a ``Popen``."""

    def __init__(self, command, stdout, stderr, env=None, cwd=None):
        _, tool, *args = map(str, command)
        self._process = _FORK.Process(target=_fork, args=(tool, args, stdout, stderr, env, cwd))
        cv2.setNumThreads(1)  # ends its threads, for which a fork would wait
        self._process.start()
        self.pid = self._process.pid
        self.terminate, self.kill = self._process.terminate, self._process.kill

    def poll(self):
        return self._process.exitcode

    returncode = property(poll)

    def wait(self, timeout=None):
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired('a forked tool', timeout)
        return self.returncode


_FORK = multiprocessing.get_context('fork')


def _fork(tool, args, stdout, stderr, env, cwd):
    """Also what the laboratory starts as a process is a fork."""
    import lab.study.process

    lab.study.process.subprocess = SimpleNamespace(Popen=ForkedTool)
    futures._threads_queues.clear()  # no thread of the laboratory's is here, to be waited for
    os.dup2(stdout.fileno(), 1)
    os.dup2(stderr.fileno(), 2)
    sys.stdout, sys.stderr = (open(file, 'w', buffering=1, closefd=False) for file in (1, 2))
    torch.set_num_threads(1)  # others are not there after a fork
    np.random.seed()  # every process draws its own numbers
    with no_earlier_runs(DefaultScope, Visualizer, SegLocalVisualizer):
        raise SystemExit(_run(tool, args, sys.stdout, sys.stderr, env, cwd))


def _run(tool, args, out, err, env, cwd):
    """Runs a tool as the program of this process, which is then as before; returns its code."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(patch.object(sys, 'argv', [tool, *map(str, args)]))
        stack.enter_context(patch.object(sys, 'path', list(sys.path)))
        stack.enter_context(patch.dict(os.environ, {**ON_A_CPU, **(env or {})}))
        stack.callback(os.chdir, Path.cwd())
        os.chdir(cwd or Path.cwd())
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(err))
        stack.callback(signal.signal, signal.SIGTERM, signal.getsignal(signal.SIGTERM))
        stack.enter_context(warnings.catch_warnings())
        stack.callback(torch.use_deterministic_algorithms, False)
        warnings.simplefilter('default')
        try:
            runpy.run_path(str(ROOT / 'tools' / tool), run_name='__main__')
        except SystemExit as end:
            return end.code or 0
    return 0
