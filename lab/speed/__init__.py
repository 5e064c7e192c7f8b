"""Measures time and memory of the losses, compared with cross-entropy and others' losses."""
