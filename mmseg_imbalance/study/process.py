"""Processes that are watched while they run, and measured."""

import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..command_line import ToolError


@dataclass(frozen=True)
class Usage:
    """What a process took.

    Attributes:
        memory: Largest resident set in MiB.
    """

    memory: float


def run_process(
    command: list[str], log: Path, env: dict[str, str], watch: Callable[[], bool]
) -> Usage:
    """Runs a command with its output appended to a file, until it has ended well.

    Args:
        command: Program and arguments.
        log: The file; its folder is made where missing.
        env: Its environment.
        watch: Called twice a second; the process is ended when it returns False.

    Raises:
        ToolError: The command failed, with the last line that it wrote, or was ended.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open('ab') as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=env)
        status = None
        try:
            while status is None:
                time.sleep(0.5)
                pid, ended, usage = os.wait4(process.pid, os.WNOHANG)
                status = ended if pid else None
                if status is None and not watch():
                    raise ToolError('interrupted', 130)
        finally:
            if status is None:
                process.terminate()
                process.wait()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise ToolError(f'failed: {_last_line(log)} (all of its output: {log})', 1)
    return Usage(memory=usage.ru_maxrss / 1024)


def _last_line(log: Path) -> str:
    lines = log.read_text(errors='replace').strip().splitlines()
    return lines[-1] if lines else 'without a word'
