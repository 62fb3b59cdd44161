"""Results a person can look at: tracks drawn over frames, sheets of them."""
