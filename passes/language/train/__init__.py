"""Training an edit of a language model: low-rank factors beside its matrices, learned from rows of text."""
