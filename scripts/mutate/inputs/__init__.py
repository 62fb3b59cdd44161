"""Sound inputs of every reader, and how they are mutated."""
