"""Hooks for MMEngine's runner, and mixed precision on a CPU."""

from ..registry import need_stack

need_stack('mmseg_imbalance.hooks')

from .class_statistics_hook import ClassStatisticsHook  # noqa: E402
from .consistency import InconsistentConfigError, check_consistency  # noqa: E402
from .consistency_hook import ConsistencyHook  # noqa: E402
from .fused_upsampling_hook import FusedUpsamplingHook  # noqa: E402
from .iter_seed_hook import IterSeedHook  # noqa: E402
from .non_finite_loss_hook import NonFiniteLossHook  # noqa: E402
from .optim_wrapper import BFloat16OptimWrapper  # noqa: E402
from .prediction_writer_hook import PredictionWriterHook  # noqa: E402
from .run_summary_hook import RunSummaryHook  # noqa: E402

__all__ = [
    'BFloat16OptimWrapper',
    'ClassStatisticsHook',
    'ConsistencyHook',
    'FusedUpsamplingHook',
    'InconsistentConfigError',
    'IterSeedHook',
    'NonFiniteLossHook',
    'PredictionWriterHook',
    'RunSummaryHook',
    'check_consistency',
]
