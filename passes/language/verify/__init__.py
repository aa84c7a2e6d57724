"""What a build claims of a language model."""
