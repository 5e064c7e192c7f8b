"""Files, errors, command lines, checkpoints: what the other parts and the tools share."""
