"""A run on disk, as it is written: one folder, its checkpoints, its lock, and what may go wrong."""
