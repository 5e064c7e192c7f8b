"""Samples training images, and crops of them, by the classes that they hold."""

from ..registry import HAS_STACK
from .class_aware_window import class_aware_window
from .class_balanced_sampler import ClassBalancedInfiniteSampler
from .class_probability import frequency_probability, performance_probability
from .draw_stream import DrawStream
from .drawn_index import DrawnIndex
from .paste_class import paste_class

__all__ = [
    'ClassBalancedInfiniteSampler',
    'DrawStream',
    'DrawnIndex',
    'class_aware_window',
    'frequency_probability',
    'paste_class',
    'performance_probability',
]

if HAS_STACK:
    from .class_aware_random_crop import ClassAwareRandomCrop
    from .class_feedback_hook import ClassFeedbackHook
    from .rare_class_copy_paste import RareClassCopyPaste

    __all__ += ['ClassAwareRandomCrop', 'ClassFeedbackHook', 'RareClassCopyPaste']
