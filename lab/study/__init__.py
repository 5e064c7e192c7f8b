"""Trains methods under one protocol and reports their results side by side."""
