"""What acts around training and testing: launching without an accelerator, precision, hooks."""

from .checkpoints import (
    CheckpointError,
    DamagedCheckpointError,
    check_checkpoint,
    harmless_loads,
    read_checkpoint,
)
from .cpu_launch import prepare_cpu_launch
from .hooks import (
    ClassFeedbackHook,
    ClassStatisticsHook,
    FusedUpsamplingHook,
    IterSeedHook,
    NonFiniteLossHook,
    PixelWeightPictureHook,
    PredictionWriterHook,
    WeightingCurvesHook,
)
from .optim_wrapper import BFloat16OptimWrapper
from .run_config import (
    RunConfigError,
    add_config_arguments,
    add_run_arguments,
    check_data,
    enable_amp,
    load_config,
    load_run_config,
    set_start,
    work_dir_of,
)

__all__ = [
    'BFloat16OptimWrapper',
    'CheckpointError',
    'ClassFeedbackHook',
    'ClassStatisticsHook',
    'DamagedCheckpointError',
    'FusedUpsamplingHook',
    'IterSeedHook',
    'NonFiniteLossHook',
    'PixelWeightPictureHook',
    'PredictionWriterHook',
    'RunConfigError',
    'WeightingCurvesHook',
    'add_config_arguments',
    'add_run_arguments',
    'check_checkpoint',
    'check_data',
    'enable_amp',
    'harmless_loads',
    'load_config',
    'load_run_config',
    'prepare_cpu_launch',
    'read_checkpoint',
    'set_start',
    'work_dir_of',
]
