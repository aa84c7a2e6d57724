"""Several deltas as one, and what they do to each other."""
