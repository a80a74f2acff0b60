"""The experiment: configuration, model, training, the run on disk, comparison, the command line."""
