"""What is kept on a disk: files that a crash leaves whole, and results that are computed once."""
