"""Proof that a run which was killed and resumed is the run that never was: `optrun verify`."""
