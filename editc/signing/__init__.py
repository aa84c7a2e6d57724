"""Signatures of deltas, the statements that go with them, and policies that say which deltas may be applied."""
