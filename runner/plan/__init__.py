"""Configs, settings and seeds to runs, what these need, and the one executor."""
