"""What acts around training and testing: launching without an accelerator, precision, hooks."""

from .cpu_launch import prepare_cpu_launch
from .hooks import (
    ClassFeedbackHook,
    ClassStatisticsHook,
    IterSeedHook,
    PixelWeightPictureHook,
    PredictionWriterHook,
    WeightingCurvesHook,
)
from .optim_wrapper import BFloat16OptimWrapper
from .run_config import (
    RunConfigError,
    add_config_arguments,
    add_run_arguments,
    check_checkpoint,
    check_data,
    enable_amp,
    load_config,
    load_run_config,
    work_dir_of,
)

__all__ = [
    'BFloat16OptimWrapper',
    'ClassFeedbackHook',
    'ClassStatisticsHook',
    'IterSeedHook',
    'PixelWeightPictureHook',
    'PredictionWriterHook',
    'RunConfigError',
    'WeightingCurvesHook',
    'add_config_arguments',
    'add_run_arguments',
    'check_checkpoint',
    'check_data',
    'enable_amp',
    'load_config',
    'load_run_config',
    'prepare_cpu_launch',
    'work_dir_of',
]
