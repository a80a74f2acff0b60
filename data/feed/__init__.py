"""Photos to batches: order, augmentation."""
