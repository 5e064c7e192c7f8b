"""Toy streets: procedural street scenes with a long tail of rare classes."""
