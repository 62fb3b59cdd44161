"""Training: optimizer, step, loop, checkpoints, and what a run records about itself."""
