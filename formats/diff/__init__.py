"""A delta from two checkpoints."""
