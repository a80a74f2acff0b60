"""YAML and `--set` to an `Experiment`: layers, schema, problems with file:line:column."""
