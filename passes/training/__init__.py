"""Training low-rank factors by gradient, for every kind of model: schemes, factors, the loop, and its checkpoints."""
