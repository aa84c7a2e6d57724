"""The ledger of a model: which deltas are in it, in which order, on which others they were built, and what each asks of
later edits."""
