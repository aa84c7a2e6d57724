"""Stacks: a data set is learned slice by slice, one delta each, so that dropping deltas forgets a slice."""
