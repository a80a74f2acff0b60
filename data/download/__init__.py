"""The public photos, obtained once."""
