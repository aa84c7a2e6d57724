"""Names, targets and weights that would serve better, by experiment."""
