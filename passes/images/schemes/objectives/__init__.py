"""What a term of a trained method minimises, one file each."""
