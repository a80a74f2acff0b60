"""Where photos come from: a folder or an archive, the public data set, the built-in sample."""
