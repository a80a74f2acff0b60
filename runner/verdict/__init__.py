"""Whether a difference is real: tests, their intervals, and what they allow to say."""
