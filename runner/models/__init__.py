"""The door for networks."""
