"""Training an edit: low-rank factors beside a model's layers, learned by gradient, for methods with no closed form."""
