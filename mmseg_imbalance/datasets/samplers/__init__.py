"""Which images are trained on, registered in ``DATA_SAMPLERS``."""

from .class_balanced_sampler import ClassBalancedInfiniteSampler
from .class_probability import frequency_probability, performance_probability
from .draw_stream import DrawStream
from .drawn_index import DrawnIndex

__all__ = [
    'ClassBalancedInfiniteSampler',
    'DrawStream',
    'DrawnIndex',
    'frequency_probability',
    'performance_probability',
]
