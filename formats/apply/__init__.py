"""Applying, reverting and finding deltas in a model."""
