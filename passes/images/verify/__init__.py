"""What a build claims of an image model."""
