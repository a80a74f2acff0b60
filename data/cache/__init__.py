"""Photos decoded once, kept in a memory-mapped array, shared by runs."""
