"""Opening what a build runs on: the model, its text encoder, a detector, and the manifest that a delta records."""
