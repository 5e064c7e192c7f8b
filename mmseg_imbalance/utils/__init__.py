"""Helpers that the package and the tools share: files, errors, command lines, checkpoints."""
