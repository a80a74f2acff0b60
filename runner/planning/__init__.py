"""What will be trained, what it takes, and everything it needs, before the first step."""
