"""What a term of the loss minimises, one file each."""
