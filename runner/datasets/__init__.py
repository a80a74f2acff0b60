"""The door for photos: what `optrun data` does."""
