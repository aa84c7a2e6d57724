"""Predict what other programs do with an adapter file: which modules they apply, and at what scale."""
