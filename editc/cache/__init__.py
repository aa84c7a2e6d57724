"""The cache on disk: its entries, its size, and files that carry entries to another machine."""
