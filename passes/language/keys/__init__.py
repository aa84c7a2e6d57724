"""Derive: the positions at which the keys of an edit are read, and the values that it writes there."""
