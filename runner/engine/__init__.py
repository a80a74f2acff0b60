"""One training: the loop, one step, evaluation, state, checkpoints, signals, hardware."""
