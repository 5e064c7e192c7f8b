import os
import subprocess
import sys

import pytest

from mmseg_imbalance.utils.cores import usable_cores


@pytest.mark.skipif(not hasattr(os, 'sched_setaffinity'), reason='this system pins no processes')
def test_a_pinned_process_has_the_cores_it_is_pinned_to():
    code = (
        'import os; from mmseg_imbalance.utils.cores import usable_cores; '
        'os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]); print(usable_cores())'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout == '1\n'


def test_where_no_process_can_be_pinned_all_cores_count(monkeypatch):
    monkeypatch.delattr('os.sched_getaffinity', raising=False)
    monkeypatch.setattr('os.cpu_count', lambda: 6)
    assert usable_cores() == 6
    monkeypatch.setattr('os.cpu_count', lambda: None)
    assert usable_cores() == 1
