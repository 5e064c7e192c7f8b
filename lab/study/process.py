"""Runs processes, watches them and measures their memory."""

import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from mmseg_imbalance.utils.errors import ToolError

_PEAK = re.compile(r'^VmHWM:\s*(\d+) kB$', re.MULTILINE)
# of a tool, or the end of a traceback; torchrun's own comes after it and says less
_ERROR = re.compile(r'[\w.]+(: error|(?<!ChildFailed)Error): ')


def run_process(
    command: list[str], log: Path, env: dict[str, str], watch: Callable[[], bool]
) -> float:
    """Runs a command to its end and appends its output to a file.

    Args:
        command: Program and arguments.
        log: The file; its folder is made if missing.
        env: Environment of the command.
        watch: Called several times a second; the process is ended when it returns False.

    Returns:
        The largest resident set of the process in MiB, NaN if the system does not tell. It is read
        from ``/proc``, since the value that the kernel reports at the end may be the parent's.

    Raises:
        ToolError: If the command failed (with the last error in its output, or its last line) or
            was ended.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    memory = float('nan')
    with log.open('ab') as out:
        start = out.tell()
        process = subprocess.Popen(command, stdout=out, stderr=out, env=env)
        try:
            while process.poll() is None:
                memory = _peak_memory(process.pid, memory)
                if not watch():
                    raise ToolError('interrupted', 130)
                time.sleep(0.2)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    if process.returncode:
        how = _how_it_ended(process.returncode, log, start)
        raise ToolError(f'{how} (all of its output: {log})', 1)
    return memory


def _peak_memory(pid: int, before: float) -> float:
    """Returns the largest resident set so far in MiB, or ``before`` if the process just ended."""
    try:
        found = _PEAK.search(Path(f'/proc/{pid}/status').read_text())
    except OSError:
        return before
    return int(found[1]) / 1024 if found else before


def _how_it_ended(code: int, log: Path, start: int) -> str:
    if code < 0:
        return f'ended by {signal.Signals(-code).name}'
    lines = log.read_bytes()[start:].decode(errors='replace').strip().splitlines()
    errors = [line for line in lines if _ERROR.match(line)]
    last = (errors or lines or ['without a word'])[-1]
    return f'failed with exit code {code}: {last}'
