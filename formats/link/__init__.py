"""Link several deltas into one, and measure how their edits interfere."""
