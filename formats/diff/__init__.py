"""Make a delta from two checkpoints: BASE, before an edit, and EDITED, after it."""
