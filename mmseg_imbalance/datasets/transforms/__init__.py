"""Which part of an image is trained on, registered in ``TRANSFORMS``."""

from .class_aware_random_crop import ClassAwareRandomCrop

__all__ = ['ClassAwareRandomCrop']
