"""Tools as users call them, in a process of their own or, without its imports, in this one."""

import contextlib
import io
import os
import runpy
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from unittest.mock import patch

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
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.ExitStack() as stack:
        stack.enter_context(no_earlier_runs(DefaultScope, Visualizer, SegLocalVisualizer))
        stack.enter_context(patch.object(sys, 'argv', [tool, *map(str, args)]))
        stack.enter_context(patch.object(sys, 'path', list(sys.path)))
        stack.enter_context(patch.dict(os.environ, {**ON_A_CPU, **(env or {})}))
        stack.callback(os.chdir, Path.cwd())
        os.chdir(cwd)
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(err))
        stack.callback(signal.signal, signal.SIGTERM, signal.getsignal(signal.SIGTERM))
        stack.enter_context(warnings.catch_warnings())
        stack.enter_context(torch.random.fork_rng())
        warnings.simplefilter('default')
        try:
            runpy.run_path(str(ROOT / 'tools' / tool), run_name='__main__')
        except SystemExit as end:
            code = end.code or 0
        finally:
            torch.use_deterministic_algorithms(False)
    return subprocess.CompletedProcess(tool, code, out.getvalue(), err.getvalue())
