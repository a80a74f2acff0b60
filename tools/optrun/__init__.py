"""One network trained with several optimizers: rooms for data, optimizers, and the runner."""
