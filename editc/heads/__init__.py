"""Classifiers: taking a class out of their head, and the features that the head reads."""
