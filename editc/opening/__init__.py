"""Opens what a build runs on: the model, its text encoder, the detector, and the manifest that a delta records."""
