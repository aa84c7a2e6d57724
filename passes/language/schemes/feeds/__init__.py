"""Where the rows of a training step come from, one file each."""
