"""Hooks, registered in the framework's registry."""

from .class_feedback_hook import ClassFeedbackHook
from .iter_seed_hook import IterSeedHook
from .prediction_writer_hook import PredictionWriterHook

__all__ = ['ClassFeedbackHook', 'IterSeedHook', 'PredictionWriterHook']
