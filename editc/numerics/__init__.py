"""Linear algebra of edits: arrays in, arrays out. Nothing here knows models, manifests or files."""
