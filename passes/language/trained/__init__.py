"""Trained methods for language models, each a preset of pieces, one file each."""
