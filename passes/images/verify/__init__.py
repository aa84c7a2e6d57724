"""Verify: the claims of a build of an image model, and its bystanders."""
