"""The commands of `optrun`: decorators, help text and one lazy call each."""
