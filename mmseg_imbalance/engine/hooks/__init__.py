"""Hooks, registered in the framework's registry."""

from .prediction_writer_hook import PredictionWriterHook

__all__ = ['PredictionWriterHook']
