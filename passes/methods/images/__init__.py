"""Methods that edit image models, one a file."""
