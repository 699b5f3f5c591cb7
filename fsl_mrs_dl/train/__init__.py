"""The training loop for every network."""
