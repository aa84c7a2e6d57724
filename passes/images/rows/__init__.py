"""Encoded prompts: the rows of names, of streams, and of whole lists."""
