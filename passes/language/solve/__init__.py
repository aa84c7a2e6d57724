"""Solve: from keys and values to the change of each matrix, and the records of the edits in a delta."""
