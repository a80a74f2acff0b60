"""A run on disk: its record, its files, reading, listing."""
