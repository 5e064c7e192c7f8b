"""Processes that are watched and measured."""

import os
import sys
import time
from pathlib import Path

import pytest

from lab.study.process import run_process
from mmseg_imbalance.utils.errors import ToolError


def yes():
    return True


def python(code):
    return [sys.executable, '-c', code]


@pytest.mark.skipif(not Path('/proc/self/status').exists(), reason='needs /proc')
def test_peak_memory_is_the_process_own(tmp_path):
    """Not that of this process, which is larger than a bare Python."""

    def peak(code):
        """Ends the process at the first look after the one that may have measured it."""
        ready, seen = (tmp_path / name for name in ('ready', 'seen'))

        def look():
            if ready.exists():
                ready.rename(seen) if before else before.append(True)
            return True

        before = []
        wait = (
            f'from pathlib import Path; import time; Path({str(ready)!r}).touch()\n'
            f'while not Path({str(seen)!r}).exists(): time.sleep(0.05)'
        )
        memory = run_process(python(f'{code}\n{wait}'), tmp_path / 'log', dict(os.environ), look)
        seen.unlink()
        return memory

    small = peak('pass')
    assert 1 < small < 50
    assert peak("x = b'1' * (200 << 20); del x") - small == pytest.approx(200, abs=5)
    assert peak('pass') == pytest.approx(small, abs=5)


def test_output_and_environment(tmp_path):
    log = tmp_path / 'deep' / 'log'
    for word in ('one', 'two'):
        env = {**os.environ, 'WORD': word}
        run_process(python("import os; print(os.environ['WORD'])"), log, env, yes)
    assert log.read_text() == 'one\ntwo\n'


def test_a_failure_is_told_in_a_line(tmp_path):
    code = "import sys; print('first'); sys.exit('x.py: error: no such config')"
    expected = r'failed with exit code 1: x\.py: error: no such config \(all .*log\)'
    with pytest.raises(ToolError, match=expected):
        run_process(python(code), tmp_path / 'log', dict(os.environ), yes)
    # torchrun says something of its own, in a frame
    code = (
        "print('x.py: error: no such config\\na.b.ChildFailedError: \\n===='); raise SystemExit(1)"
    )
    with pytest.raises(ToolError, match=expected):
        run_process(python(code), tmp_path / 'log', dict(os.environ), yes)
    # what a former process wrote is not what this one said
    with pytest.raises(ToolError, match='failed with exit code 3: without a word'):
        run_process(python('raise SystemExit(3)'), tmp_path / 'log', dict(os.environ), yes)


def test_a_killed_process_is_named_by_its_signal(tmp_path):
    code = 'import os; print("Iter 5", flush=True); os.kill(os.getpid(), 9)'
    with pytest.raises(ToolError, match='^ended by SIGKILL'):
        run_process(python(code), tmp_path / 'log', dict(os.environ), yes)


def test_no_process_is_left_when_the_watcher_wants_no_more(tmp_path):
    pid = tmp_path / 'pid'
    code = f'import os, time; open({str(pid)!r}, "w").write(str(os.getpid())); time.sleep(60)'
    started = time.monotonic()
    with pytest.raises(ToolError, match='interrupted'):
        run_process(python(code), tmp_path / 'log', dict(os.environ), lambda: not pid.exists())
    assert time.monotonic() - started < 30
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
