"""Deltas in a model that is in memory: load them, and unload them bit for bit."""
