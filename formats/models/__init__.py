"""A model on disk: where it is, which components it has, what its tensors are called."""
