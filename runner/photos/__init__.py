"""What `optrun data` does: photos imported, listed, verified, shown and removed."""
