"""Runs side by side: read, grouped, measured, shown. Never imports TensorFlow."""
