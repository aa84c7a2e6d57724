"""Which layers of a language model hold a subject."""
