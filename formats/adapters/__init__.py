"""Adapters that others made, read for `fuse`: what they add to each parameter of a model."""
