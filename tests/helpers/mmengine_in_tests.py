"""MMEngine as tests use it: without instances of earlier runs, and without its slow formatter."""

from collections import OrderedDict
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

from mmengine.logging import MessageHub, MMLogger


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
