"""The passes of image models."""
