"""The classifier: VGG19, its first weights, and what changes photos on their way in."""
