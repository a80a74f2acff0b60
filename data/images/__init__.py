"""Files to pixels: decoding, resizing, duplicates."""
