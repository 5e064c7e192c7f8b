"""What acts around training and testing: launching without an accelerator, precision, hooks."""

from .cpu_launch import prepare_cpu_launch
from .hooks import PredictionWriterHook
from .optim_wrapper import BFloat16OptimWrapper
from .run_config import (
    RunConfigError,
    add_run_arguments,
    check_data,
    enable_amp,
    load_run_config,
    one_line_errors,
)

__all__ = [
    'BFloat16OptimWrapper',
    'PredictionWriterHook',
    'RunConfigError',
    'add_run_arguments',
    'check_data',
    'enable_amp',
    'load_run_config',
    'one_line_errors',
    'prepare_cpu_launch',
]
