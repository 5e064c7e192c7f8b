"""What holds for every test."""

import gc
import random

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings
from mmengine_in_tests import (
    no_earlier_runs,
    shipped_configs_parsed_once,
    uncollected_garbage,
    unformatted_configs,
)

# Doctests are looked for in every module, and modules of one name cannot be imported together.
collect_ignore_glob = ['*conftest.py']

# A machine may be busy with other things.
settings.register_profile('patient', deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile('patient')


def pytest_collection_modifyitems(items):
    """Tests marked gpu need one."""
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker('gpu'):
                item.add_marker(pytest.mark.skip(reason='needs a GPU'))


@pytest.fixture(autouse=True, scope='session')
def short_runs():
    """A tiny training takes less than half the time without three things that MMEngine does in it.

    It reads shipped configs again, formats its own six times, and collects garbage for every data
    set.
    """
    gc.collect()
    gc.freeze()
    with unformatted_configs(), uncollected_garbage(), shipped_configs_parsed_once():
        yield


@pytest.fixture(autouse=True)
def seeded():
    """A test draws the same random numbers in whatever order the tests run."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def own_run():
    """A test starts without a run: MMEngine keeps the loggers and message hubs of past ones.

    It even hands them out again, to a run of the same config in the same second; the logger of a
    past test prints to a stream that is closed by then.
    """
    with no_earlier_runs():
        yield
