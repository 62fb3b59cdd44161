"""From annotation files and frames to batches of clips: reading, splitting, sampling, augmenting, loading."""
