"""Families of language models, one a file."""
