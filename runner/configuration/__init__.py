"""YAML files and `--set` to one typed, complete `Experiment`; where each value comes from."""
