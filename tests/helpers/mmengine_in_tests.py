"""MMEngine as tests use it: without instances of earlier runs, and without what is slow there."""

import copy
from collections import OrderedDict
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

# MMEngine imports YAPF late, and the first import writes a cache, which another process may find
# incomplete. Here it is imported before the test processes start.
import yapf.yapflib.yapf_api  # noqa: F401
from mmengine.config import Config
from mmengine.logging import MessageHub, MMLogger

_CONFIGS = Path(__file__).resolve().parents[2] / 'configs'


@contextmanager
def no_earlier_runs(*kinds):
    """Hides the loggers and message hubs of earlier runs, and other managers (``kinds``)."""
    loggers = OrderedDict()
    with ExitStack() as stack:
        stack.enter_context(patch.object(MMLogger, '_instance_dict', loggers))
        for kind in (MessageHub, *kinds):
            stack.enter_context(patch.object(kind, '_instance_dict', OrderedDict()))
        try:
            yield
        finally:
            for logger in loggers.values():
                for handler in logger.handlers:
                    handler.close()


@contextmanager
def unformatted_configs():
    """Has MMEngine write configs as they are: formatting them takes most of a tiny training."""
    places = ('yapf.yapflib.yapf_api', 'mmengine.config.config')  # of the fork and of upstream
    with ExitStack() as stack:
        for place in places:
            as_it_is = lambda code, **_: (f'{code.rstrip()}\n', True)  # noqa: E731
            stack.enter_context(patch(f'{place}.FormatCode', as_it_is, create=True))
        yield


def uncollected_garbage():
    """Has MMEngine's data sets collect no garbage, which walks through all that tests imported."""
    return patch('mmengine.dataset.base_dataset.gc', SimpleNamespace(collect=int))


def shipped_configs_parsed_once():
    """Has MMEngine keep what it reads from a shipped config, of which it copies every file."""
    read, kept = Config._file2dict, {}

    def read_once(filename, *args, **kwargs):
        path = Path(filename).resolve()
        if _CONFIGS not in path.parents:
            return read(filename, *args, **kwargs)
        key = path, args, tuple(sorted(kwargs.items()))
        if key not in kept:
            kept[key] = read(filename, *args, **kwargs)
        return copy.deepcopy(kept[key])

    return patch.object(Config, '_file2dict', staticmethod(read_once))
