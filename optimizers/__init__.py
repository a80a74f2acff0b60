"""Update rules for Keras that Keras does not have."""
