"""What holds for every test."""

from collections import OrderedDict

import pytest
import torch
from mmengine.logging import MessageHub, MMLogger

# Doctests are looked for in every module, and modules of one name cannot be imported together.
collect_ignore_glob = ['*conftest.py']


def pytest_collection_modifyitems(items):
    """Tests marked gpu need one."""
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker('gpu'):
                item.add_marker(pytest.mark.skip(reason='needs a GPU'))


@pytest.fixture(autouse=True)
def own_run(monkeypatch):
    """A test starts without a run: MMEngine keeps the loggers and message hubs of past ones.

    It even hands them out again, to a run of the same config in the same second; the logger of a
    past test prints to a stream that is closed by then.
    """
    loggers = OrderedDict()
    monkeypatch.setattr(MMLogger, '_instance_dict', loggers)
    monkeypatch.setattr(MessageHub, '_instance_dict', OrderedDict())
    yield
    for logger in loggers.values():
        for handler in logger.handlers:
            handler.close()
