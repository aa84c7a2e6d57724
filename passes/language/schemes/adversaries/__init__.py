"""Who tries to bring back what is forgotten while the edit is trained, one file each."""
