"""Apply deltas to models, revert them, and find out which deltas a model holds."""
