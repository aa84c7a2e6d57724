"""Families of text-to-image models, one a file."""
