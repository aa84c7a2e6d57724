"""Trained methods for language models, by their pieces: rows of text, what is asked about them, and objectives."""
